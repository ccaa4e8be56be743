"""Which verifier ``auto`` takes for a problem."""

import pytest

from learnalign.verifying.question import Question
from learnalign.verifying.routing import KINDS, route

OPTIONS = "Which one is it?\nA. a red car\nB. a dog\nC. 12\n"


@pytest.mark.parametrize(
    ("gold", "prompt", "verifier"),
    [
        ("12", "", "number"),
        ("-3.5e-7", "", "number"),
        (r"\frac{3}{4}", "", "number"),
        ("$1,250", "", "number"),
        ("13 km/h", "", "number"),
        ("9 (apples)", "", "number"),
        (r"\sqrt{2}", "", "math"),
        ("x^2+1", "", "math"),
        ("(1, 2)", "", "math"),
        ("100,200", "", "math"),
        (r"\boxed{12}", "", "math"),
        ("B", OPTIONS, "choice"),
        ("(B)", "", "choice"),
        ("B. a dog", OPTIONS, "choice"),
        ("D", OPTIONS, "math"),
        ("C", "the capacity in terms of the constant", "math"),
        ("12", OPTIONS, "number"),
        ("yes", "", "words"),
        ("True", "", "words"),
        ("Tuesday", "", "words"),
        ("Marie Curie", "", "words"),
        ("2:30 p.m.", "", "time"),
        ("2:30", "At what time does it end?", "time"),
        ("2:30", "What is the ratio?", "math"),
        ("March 5, 2021", "", "time"),
        ("{'a': [1, 2]}", "", "code"),
        ("assert f(2) == 4\nassert f(3) == 6", "", "program"),
        ("['a', 'b']", "", "code"),
    ],
)
def test_what_auto_takes(gold: str, prompt: str, verifier: str) -> None:
    assert route("auto", Question((gold,), prompt)) == verifier


def test_several_golds_of_different_kinds_are_mathematics() -> None:
    assert route("auto", Question(("12", "13"))) == "number"
    assert route("auto", Question(("12", "a dozen"))) == "math"


def test_rows_of_reasoning_gym_and_a_flag_go_before_the_gold() -> None:
    row = {"metadata": {"source_dataset": "gcd"}}
    assert route("auto", Question(("12",), "", row)) == "reasoning_gym"
    for verifier in KINDS[1:]:
        assert route(verifier, Question(("12",), "", row)) == verifier
