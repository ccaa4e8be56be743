"""Compare LearnAlign's verdicts with known ones (recorded, worked, tests), and measure speed.

`--math-verify-tests DIR` adds the cases of math-verify's own tests, which are in its source
distribution: ``pip download --no-deps --no-binary :all: math-verify==0.9.0``, folder ``tests``.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness import ROOT, Figure, publish
from learnalign.config import VerifierConfig
from learnalign.tables import PROBLEMS, ROLLOUTS
from learnalign.verifying.verifier import open_verifier
from verdict_reasons import reason
from verdict_sets import DATA, Known, answers, is_number, math_verify_tests, recorded
from verdict_speed import in_a_trainer, in_a_worker

#: Set, verifier, and the expected share of equal verdicts.
COMPARED = (
    ("MATH", "math", 0.99),
    ("MATH", "auto", 0.99),
    ("MATH", "number", 0.99),
    ("GSM8K", "number", 0.99),
    ("GSM8K", "math", 0.99),
    ("GSM8K", "auto", 0.99),
    ("MATH, worked", "math", 0.99),
    ("MATH, worked", "auto", 0.99),
    ("GSM8K, worked", "number", 0.99),
    ("GSM8K, worked", "auto", 0.99),
)
#: Fields of a difference with other people's texts: printed, but not published.
_TEXTS = ("gold", "parsed", "end_of_completion", "text")
Rows = list[dict[str, Any]]


def verdicts(kind: str, known: list[Known]) -> Rows:
    """Judge as in a run; returns one row per completion, with the known verdict."""
    problems: Rows = [
        {"problem_id": one.key, "answer": one.gold, "row": "{}", "prompt": one.prompt}
        for one in known
    ]
    rollouts: Rows = [
        {"problem_id": one.key, "sample": sample, "completion": text}
        for one in known
        for sample, text in enumerate(one.completions)
    ]
    with open_verifier(VerifierConfig(kind=kind)) as verifier:
        table = verifier.verify(
            pa.Table.from_pylist(problems, schema=PROBLEMS),
            pa.Table.from_pylist(rollouts, schema=ROLLOUTS),
        )
    expected = [(one.gold, right) for one in known for right in one.right]
    return [
        row | {"gold": gold, "right": right, "completion": rollout["completion"]}
        for row, (gold, right), rollout in zip(table.to_pylist(), expected, rollouts, strict=True)
    ]


def agrees(verdict: str, right: str) -> bool:
    """Return whether a verdict agrees with the known one; unparsed answers count as wrong.

    Example:
        >>> agrees("unparsed_answer", "wrong"), agrees("correct", "wrong"), agrees("error", "wrong")
        (True, False, False)
    """
    if right == "wrong":
        return verdict in ("wrong", "unparsed_answer", "unparsed_gold", "timed_out")
    return verdict == right


def differences(kind: str, found: Rows) -> Rows:
    """Return the verdicts that differ from the known ones, with the reason if recorded."""
    return [
        {
            "case": f"{row['problem_id']}/{row['sample']}",
            "verifier": kind,
            "ours": row["verdict"],
            "theirs": row["right"],
            "gold": row["gold"],
            "explained": reason(f"{row['problem_id']}/{row['sample']}", row["gold"]),
            "parsed": row["parsed_answer"],
            "end_of_completion": row["completion"][-120:],
        }
        for row in found
        if not agrees(row["verdict"], row["right"])
    ]


def compare(kind: str, known: list[Known], goal: float) -> tuple[Figure, Rows, Rows]:
    """Return the share of equal verdicts (without damaged golds), differences, and all verdicts."""
    suitable = [one for one in known if kind != "number" or is_number(one.gold)]
    judged = verdicts(kind, suitable)
    rows = differences(kind, judged)
    damaged = sum((row["explained"] or "").startswith("the gold is damaged") for row in rows)
    sound = len(judged) - damaged
    share = 1.0 - (len(rows) - damaged) / sound
    return Figure(share, f"of {sound} verdicts", "higher", goal=goal), rows, judged


def own_cases() -> tuple[dict[str, Figure], Rows]:
    """Judge our own cases, each with its verifier."""
    known, rows = recorded("cases"), []
    for kind in sorted({one.kind for one in known}):
        rows += differences(kind, verdicts(kind, [one for one in known if one.kind == kind]))
    if not known:
        return {}, []
    share = 1.0 - len(rows) / len(known)
    return {"cases: right": Figure(share, f"of {len(known)}", "higher", goal=1.0)}, rows


def refused(judged: Rows) -> tuple[dict[str, Figure], Rows]:
    """Count golds and correct answers that are too large for the parsers."""
    try:
        from learnalign.verifying.guards import refusal
    except ModuleNotFoundError:
        sys.stdout.write("this version has no size limits for parsers\n")
        return {}, []
    correct = [
        ("an answer", row.get("extracted_answer") or row["completion"])
        for row in judged
        if row["right"] == "correct"
    ]
    texts = [*answers(), *correct]
    reasons = [(name, text, refusal(text)) for name, text in texts]
    rows = [
        {"case": name, "refused": why, "text": text[:200], "explained": None}
        for name, text, why in reasons
        if why is not None
    ]
    figure = Figure(len(rows), f"of {len(texts)} golds and right answers", "lower", goal=0)
    return {"refused by the guards": figure}, rows


def main() -> None:
    """Compare all available sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = list(dict.fromkeys(name for name, _, _ in COMPARED))
    parser.add_argument("--sets", nargs="+", choices=names, default=names)
    parser.add_argument("--repeat", type=int, default=3, help="number of timed passes; 0 for none")
    parser.add_argument("--math-verify-tests", type=Path, metavar="DIR")
    parser.add_argument("--show", action="store_true", help="print each difference with its texts")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no recorded verdicts in {DATA}: nothing to compare with")
    begin = time.monotonic()
    figures: dict[str, Figure] = {}
    rows: Rows = []
    judged: Rows = []
    for name, kind, goal in COMPARED:
        known = recorded(name) if name in options.sets else []
        if known:
            figures[f"{name}, {kind}"], found, all_verdicts = compare(kind, known, goal)
            rows, judged = rows + found, judged + all_verdicts
    found_figures, found = own_cases()
    figures, rows = figures | found_figures, rows + found
    if options.math_verify_tests:
        known, skipped = math_verify_tests(options.math_verify_tests)
        sys.stdout.write(f"math-verify's tests: {len(known)} cases, {skipped} skipped\n")
        figures["math-verify's tests, math"], found, _ = compare("math", known, 0.9)
        rows += found
    found_figures, found = refused(judged)
    figures, rows = figures | found_figures, rows + found
    for name, kind, _ in COMPARED if options.repeat else ():
        known = recorded(name) if name in options.sets and "worked" not in name else []
        known = [one for one in known if kind != "number" or is_number(one.gold)]
        if known:
            figures |= in_a_worker(name, kind, known, options.repeat)
    if options.repeat and "MATH" in options.sets:
        for kind in ("math", "number"):
            figures |= in_a_trainer(kind, recorded("MATH"), max(5, options.repeat))
    unexplained = sum(row["explained"] is None for row in rows)
    figures["differences in which ours is wrong"] = Figure(
        sum((row["explained"] or "").startswith("theirs") for row in rows),
        "verdicts",
        "lower",
        goal=0,
    )
    figures["unexplained differences"] = Figure(unexplained, "verdicts", "lower", goal=0)
    failed = Counter(row["verdict"] for row in judged if row["verdict"] in ("error", "timed_out"))
    figures["errors and timeouts"] = Figure(failed.total(), "verdicts", "lower", goal=0)
    if options.show:
        sys.stdout.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    kept = [{key: row[key] for key in row if key not in _TEXTS} for row in rows]
    command = "python benchmarks/verdicts.py --math-verify-tests DIR"
    publish(
        "verdicts",
        begin,
        figures,
        kept,
        command=command if options.math_verify_tests else None,
        folder=options.out,
    )


if __name__ == "__main__":
    main()
