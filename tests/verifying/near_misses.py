"""Near misses and restatements of right answers, judged; as a script: what is judged amiss."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where it runs as a script

from helpers.answers.expressions import EXPRESSIONS
from helpers.answers.intervals import INTERVALS
from helpers.answers.numbers import NUMBERS
from helpers.answers.powers import POWERS
from helpers.answers.quantities import QUANTITIES
from helpers.answers.tuples import TUPLES
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.kinds import named_kind

SHAPES = NUMBERS | POWERS | EXPRESSIONS | INTERVALS | TUPLES | QUANTITIES
#: How a completion says its answer.
SAID = (
    r"\boxed{%s}",
    r"So we get $\boxed{%s}$.",
    "Both roots fit. The answer is %s.",
    "<think>\nFirst 7, then 19.\n</think>\n\nThe final answer is \\boxed{%s}.",
    "**Answer:** %s",
    "<think>Is it 3?</think><answer>%s</answer>",
    "It follows that\n\\[\n\\boxed{%s}\n\\]",
)


@dataclass(frozen=True)
class Case:
    """A gold, a completion, and whether it is right by what its maker knows of both."""

    shape: str
    change: str
    gold: str
    completion: str
    right: bool


def cases(each: int = 4) -> Iterator[Case]:
    """Draw answers of every shape (twice as many quantities); always the same ones.

    Cases with one gold stand together: first its restatements, then its near misses.
    """
    for shape, draw in SHAPES.items():
        rng = Random(shape)
        for _ in range(2 * each if shape in QUANTITIES else each):
            found = draw(rng)
            forms = found.answer.forms
            gold = rng.choice(forms[:3])
            others = [form for form in forms if form != gold]
            for form in rng.sample(others, min(4, len(others))):
                yield Case(shape, "written otherwise", gold, _said(form, rng), right=True)
            for change, miss in found.misses:
                assert miss.value != found.answer.value, (shape, change, gold)
                yield Case(shape, change, gold, _said(rng.choice(miss.forms), rng), right=False)


def judge(gold: str, completions: list[str]) -> list[Judgement]:
    """Judge as a worker does; a gold that cannot be read is the verdict of each completion."""
    request = {"golds": [gold], "row": {}, "prompt": "", "completions": completions}
    unread, *said = named_kind("math").judge(request)
    return [j for j in said if j is not None] if unread is None else [unread] * len(completions)


def judged() -> list[tuple[Case, Judgement]]:
    """Judge every case, those of one gold together."""
    found: list[tuple[Case, Judgement]] = []
    for gold, group in groupby(cases(), key=lambda case: case.gold):
        together = list(group)
        said = judge(gold, [case.completion for case in together])
        found += zip(together, said, strict=True)
    return found


def _said(form: str, rng: Random) -> str:
    pattern = rng.choice(SAID)
    if "boxed" not in pattern:
        # LaTeX stands between dollars, unless it is code or dollars are what is meant.
        if set(form) & set("\\^_{~") and not set(form) & set("$*"):
            form = f"${form}$"
        pattern = pattern.rstrip(".") if form.endswith(".") else pattern
    elif "$" in pattern and "$" in form:
        pattern = SAID[0]
    return pattern.replace("%s", form)


def main() -> None:
    """Print what is judged amiss, and how many of how many."""
    wrong, total = {True: 0, False: 0}, {True: 0, False: 0}
    for case, said in judged():
        total[case.right] += 1
        if (said.verdict == "correct") != case.right:
            wrong[case.right] += 1
            print(
                f"{case.shape:14} {case.change:17} {said.verdict:15} {case.gold!r:45}"
                f" {case.completion!r} read as {said.parsed_answer!r} {said.detail or ''}"
            )
    print(f"{wrong[False]} of {total[False]} near misses are judged correct")
    print(f"{wrong[True]} of {total[True]} restatements are not judged correct")


if __name__ == "__main__":
    main()
