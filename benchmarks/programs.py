"""Verdicts of programs in the sandbox: reference solutions, recorded completions, speed.

    make bench NAME=programs                       # all; run it again after an interruption
    .venv/bin/python benchmarks/programs.py 20     # only 20 of the 164 problems with completions

Needs the public code data sets in a folder (``DATA``). The truth is independent: data sets say
that their reference solutions are right, and EvalPlus's solutions must also pass HumanEval's own
tests and the assertions of MBPP's prompts.
"""

import gzip
import json
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness import ROOT, Figure, Lines, publish
from learnalign.config import VerifierConfig
from learnalign.problems.suites.registry import gold_of
from learnalign.verifying.judging import Answered, judged
from learnalign.verifying.verifier import open_verifier

DATA = ROOT.parent / "shared" / "data" / "code"
LINES = ROOT / "benchmarks" / "runs" / "programs.jsonl"
CONFIG = VerifierConfig(kind="program", workers=2)
#: Some of MBPP+'s reference solutions take five seconds or more than a GiB for an input.
PATIENT = CONFIG.model_copy(
    update={"test_timeout_s": 30.0, "program_timeout_s": 600.0, "program_memory_mb": 8192}
)
Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    """Read a file of the data."""
    opened = gzip.open if name.endswith(".gz") else open
    with opened(DATA / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def reference_solutions() -> list[Row]:
    """Run reference solutions on their own tests, and on those of another data set."""
    humaneval = {row["task_id"]: row for row in rows("HumanEval.jsonl.gz")}
    plus, mbpp_plus = rows("HumanEvalPlus-Mini.jsonl.gz"), rows("MbppPlus.jsonl.gz")
    both = ("entry_point", "canonical_solution")
    sets = {
        "HumanEval": list(humaneval.values()),
        "HumanEval+": plus,
        "MBPP+": mbpp_plus,
        "HumanEval+'s solutions on HumanEval's tests": [
            humaneval[row["task_id"]] | {key: row[key] for key in both} for row in plus
        ],
        "MBPP+'s solutions on the assertions of their prompts": [
            {"task_id": row["task_id"], "code": row["canonical_solution"]}
            | {"test_setup_code": "import math"}
            | {"test_list": re.findall(r"^assert .*", row["prompt"], re.MULTILINE)}
            for row in mbpp_plus
        ],
    }
    lines = Lines(LINES)
    for name, problems in sets.items():
        if lines.has(set=name):
            continue
        golds = [gold_of(row) for row in problems]
        tasks = [{"answer": gold[0], "prompt": "", "row": "{}"} for gold in golds if gold]
        begin = time.monotonic()
        with open_verifier(PATIENT) as verifier:
            reasons = verifier.check_golds(tasks)
        wrong = [
            {"problem": row["task_id"], "reason": reason[1]}
            for row, reason in zip(problems, reasons, strict=True)
            if reason is not None
        ]
        seconds = time.monotonic() - begin
        lines.add(
            {"set": name, "problems": len(tasks), "wrong": wrong, "seconds": round(seconds, 1)}
        )
        print(
            f"{name}: {len(tasks) - len(wrong)} of {len(tasks)} in {seconds:.0f} s",
            *wrong,
            sep="\n",
        )
    return [row for row in lines.rows if "set" in row]


def recorded_completions(count: int) -> list[Row]:
    """Judge 100 completions of CodeGen-16B for each of some problems; resumes."""
    by_prompt = {row["prompt"]: row for row in rows("humaneval_codet.jsonl")}
    recorded = rows("humaneval_codegen16B_100samples.jsonl")
    random.Random(1).shuffle(recorded)
    lines = Lines(LINES)
    left = [row for row in recorded[:count] if not lines.has(problem=_id(by_prompt, row))]
    for begin in range(0, len(left), 8):
        some = left[begin : begin + 8]
        answered = []
        for row in some:
            gold = gold_of(by_prompt[row["prompt"]])
            assert gold is not None
            answered.append(Answered((gold[0],), tuple(row["samples"]), row["prompt"]))
        start = time.monotonic()
        verdicts = list(judged(answered, CONFIG))
        seconds = time.monotonic() - start
        for row, verdict in zip(some, verdicts, strict=True):
            counts = Counter(one["verdict"] for one in verdict.rows)
            details = [one["detail"] for one in verdict.rows if one["verdict"] == "error"]
            lines.add(
                {"problem": _id(by_prompt, row), "verdicts": dict(counts), "errors": details}
                | {"seconds": round(seconds / len(some), 3)}
            )
        print(f"{begin + len(some)} of {len(left)}: {100 * len(some) / seconds:.1f} a second")
    wanted = {_id(by_prompt, row) for row in recorded[:count]}
    return [row for row in lines.rows if row.get("problem") in wanted]


def _id(by_prompt: dict[str, Row], row: Row) -> str:
    name: str = by_prompt[row["prompt"]]["task_id"]
    return name


def main() -> None:
    if not Path(DATA).is_dir():
        sys.exit(f"the data sets are not in {DATA}")
    begin = time.monotonic()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 164
    references = reference_solutions()
    completions = recorded_completions(count)
    totals: Counter[str] = Counter()
    for row in completions:
        totals.update(row["verdicts"])
    programs, seconds = totals.total(), sum(row["seconds"] for row in completions)
    figures = {
        f"reference solutions right: {row['set']}": Figure(
            1 - len(row["wrong"]) / row["problems"], "", "higher", goal=1.0
        )
        for row in references
    }
    figures |= {
        "recorded completions": Figure(programs, "", "higher"),
        "in error": Figure(totals["error"], "", "lower", goal=0),
        "correct": Figure(totals["correct"] / programs, "", "higher"),
        "timed out": Figure(totals["timed_out"] / programs, "", "lower"),
        "without a program": Figure(totals["unparsed_answer"] / programs, "", "lower"),
        "problems solved at least once": Figure(
            sum(row["verdicts"].get("correct", 0) > 0 for row in completions) / len(completions),
            "",
            "higher",
        ),
        "programs a second": Figure(programs / seconds, "1/s", "higher", goal=20.0),
    }
    publish("programs", begin, figures, [*references, *completions])


if __name__ == "__main__":
    main()
