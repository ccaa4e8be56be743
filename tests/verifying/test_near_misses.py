"""What differs in a digit, sign, exponent, bracket or unit is wrong; what says the same, right."""

from random import Random

import pytest

from helpers.answers.drawing import other_digit
from learnalign.verifying.judgement import Judgement
from verifying.near_misses import SHAPES, Case, cases, judged

Judged = list[tuple[Case, Judgement]]


@pytest.fixture(scope="module")
def verdicts() -> Judged:
    return judged()


def amiss(found: Judged) -> list[str]:
    return [
        f"{case.shape}, {case.change}: gold {case.gold!r}, {case.completion!r}, {said}"
        for case, said in found
    ]


def test_no_near_miss_is_right(verdicts: Judged) -> None:
    misses = [(case, said) for case, said in verdicts if not case.right]
    assert len(misses) >= 300
    wrong = [(case, said) for case, said in misses if said.verdict == "correct"]
    assert not wrong, "\n".join(amiss(wrong))


def test_what_says_the_same_is_right(verdicts: Judged) -> None:
    restatements = [(case, said) for case, said in verdicts if case.right]
    assert len(restatements) >= 300
    wrong = [(case, said) for case, said in restatements if said.verdict != "correct"]
    assert not wrong, "\n".join(amiss(wrong))


def test_the_cases_are_the_same_ones_each_time_and_of_all_shapes() -> None:
    drawn = list(cases())
    assert drawn == list(cases())
    for shape in SHAPES:
        assert {case.right for case in drawn if case.shape == shape} == {True, False}
    changes = {case.change for case in drawn if not case.right}
    assert changes >= {"digit", "sign", "exponent", "bracket", "unit"}


@pytest.mark.parametrize("number", [7, -40, 10, 99999, 12345678901234])
def test_another_digit_is_one_other_digit(number: int) -> None:
    for seed in range(30):
        other = other_digit(number, Random(seed))
        assert len(str(other)) == len(str(number))
        assert sum(a != b for a, b in zip(str(other), str(number), strict=True)) == 1
