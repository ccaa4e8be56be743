"""Our verdicts against known ones: Qwen2.5-Math's on MATH, GPT-3's example solutions on GSM8K."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness import ROOT, Figure, publish
from learnalign.config import VerifierConfig
from learnalign.problems.columns import answer_of
from learnalign.tables import PROBLEMS, ROLLOUTS
from learnalign.verifying.verifier import open_verifier

DATA = ROOT.parent / "shared" / "data"
#: Disagreements that were looked at, and who is right.
EXPLAINED = {
    "MATH, math-72/7": "ours is right: the gold 10{,}000 and the answer 10000 are the same number",
}
Case = tuple[str, list[str], list[bool]]


def qwen(path: Path) -> Iterator[Case]:
    """Gold, completions and known verdicts of Qwen2.5-Math on MATH problems."""
    for line in path.read_text().splitlines():
        row = json.loads(line)
        yield str(row["gt"]), list(row["code"]), list(row["score"])


def gsm8k(path: Path) -> Iterator[Case]:
    """Gold, completions and known verdicts of four GPT-3 models."""
    for line in path.read_text().splitlines():
        row = json.loads(line)
        said = [v for v in row.values() if isinstance(v, dict) and "is_correct" in v]
        gold = row["ground_truth"].rsplit("A:", 1)[-1].strip()
        texts = [v["solution"].rsplit("A:", 1)[-1].strip() for v in said]
        yield answer_of(gold) or "", texts, [v["is_correct"] for v in said]


def compare(name: str, kind: str, cases: list[Case]) -> tuple[Figure, list[dict[str, Any]]]:
    """Give the share of equal verdicts, and every disagreement."""
    problems, rollouts = [], []
    for number, (gold, texts, _) in enumerate(cases):
        key = f"{name}-{number}"
        problems.append({"problem_id": key, "answer": gold, "row": "{}"})
        for sample, text in enumerate(texts):
            rollouts.append({"problem_id": key, "sample": sample, "completion": text})
    known = [verdict for _, _, verdicts in cases for verdict in verdicts]
    with open_verifier(VerifierConfig(kind=kind)) as verifier:
        table = verifier.verify(
            pa.Table.from_pylist(problems, schema=PROBLEMS),
            pa.Table.from_pylist(rollouts, schema=ROLLOUTS),
        )
    golds = {row["problem_id"]: row["answer"] for row in problems}
    rows = []
    for said, theirs, rollout in zip(table.to_pylist(), known, rollouts, strict=True):
        if (said["verdict"] == "correct") != theirs:
            rows.append(
                {
                    "case": f"{said['problem_id']}/{said['sample']}",
                    "verifier": kind,
                    "ours": said["verdict"],
                    "theirs": "correct" if theirs else "wrong",
                    "gold": golds[said["problem_id"]],
                    "explained": EXPLAINED.get(f"{said['problem_id']}/{said['sample']}"),
                    "parsed": said["parsed_answer"],
                    "end_of_completion": rollout["completion"][-120:],
                }
            )
    share = 1.0 - len(rows) / max(1, len(known))
    return Figure(share, f"of {len(known)} verdicts", "higher", goal=0.99), rows


def main() -> None:
    """Compare where the data is."""
    if not DATA.is_dir():
        sys.exit("the recorded verdicts are not here: nothing to compare with")
    begin = time.monotonic()
    math = list(qwen(DATA / "rollouts" / "qwen_math_cot_100.jsonl"))
    grade = list(gsm8k(DATA / "gsm8k" / "example_model_solutions.jsonl"))
    figures: dict[str, Figure] = {}
    rows: list[dict[str, Any]] = []
    for name, kind, cases in (
        ("MATH, math", "math", math),
        ("GSM8K, number", "number", grade),
        ("GSM8K, math", "math", grade),
    ):
        figures[name], found = compare(name, kind, cases)
        rows += found
    unexplained = sum(row["explained"] is None for row in rows)
    figures["unexplained disagreements"] = Figure(unexplained, "verdicts", "lower", goal=0)
    publish("verdicts", begin, figures, rows)


if __name__ == "__main__":
    main()
