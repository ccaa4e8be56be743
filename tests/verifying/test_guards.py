"""Whatever a model writes: read in time, never an error, and refused where no parser would end."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.verifying.guards import refusal
from learnalign.verifying.kinds import named_kind

NAMES = ("math", "number", "choice", "words", "time", "code", "text")
GOLDS = {"math": "x^2", "number": "4", "choice": "B", "words": "yes", "time": "2:30 pm"}
GOLDS |= {"code": "[1]", "text": "red"}
PIECES = [" ", "$", "\\[", "\\(", "\\boxed{", "answer is ", "#### ", "(", "{", "[", ",", "9", "9 "]
PIECES += ["a,", "**", "<answer>", "</think>", "<think>", "\n", ". ", "= ", "\\frac", "1/", "A. "]
PIECES += [
    "\\text{",
    "or ",
    "-",
    "x^",
    "'",
    "１",
    "é",
    "\u200b",
    "\x00",
    "^{",
    "$$",
    "The answer: ",
]


def judged(name: str, completion: str) -> str:
    request = {"golds": [GOLDS[name]], "row": {}, "prompt": "", "completions": [completion]}
    _, judgement = named_kind(name).judge(request)
    assert judgement is not None
    return judgement.verdict


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_a_long_text_of_one_piece_is_judged_soon(name: str, piece: str) -> None:
    for text in (piece * (30_000 // len(piece)), "It is 4. " + piece * (9_000 // len(piece))):
        begin = time.perf_counter()
        assert judged(name, text) != "error"
        assert time.perf_counter() - begin < 2.0


@given(st.lists(st.sampled_from([*PIECES, "4", "x", "yes", "}", ")", "]", "^"]), max_size=12))
def test_no_text_is_an_error(pieces: list[str]) -> None:
    for name in NAMES:
        assert judged(name, "".join(pieces)) in ("correct", "wrong", "unparsed_answer")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9^{9^{9^9}}", "exponent"),
        ("9**9**9**9", "exponent"),
        ("(9^9)^(9^9)", "exponent"),
        ("2^{5000000}", "exponent"),
        ("1e9999999", "exponent"),
        ("100000000!", "factorial"),
        ("(9!)!", "factorial"),
        ("(1+" * 60 + "1" + ")" * 60, "60 deep"),
        ("1" * 2500, "characters"),
        ("x+" * 1500 + "x", "characters"),
    ],
)
def test_what_no_parser_would_end_is_refused_with_the_reason(text: str, said: str) -> None:
    assert said in (refusal(text) or "")
    request = {"golds": ["4"], "row": {}, "prompt": "", "completions": [f"\\boxed{{{text}}}"]}
    _, judgement = named_kind("math").judge(request)
    assert judgement is not None
    assert judgement.verdict == "unparsed_answer"
    assert said in (judgement.detail or "")
    assert judgement.extracted_answer == text


@pytest.mark.parametrize(
    "text",
    [
        "3^{-174762.6667}",
        "2^{2024}",
        r"\frac{1}{1501!}",
        "x^{2^{10}}",
        r"\sqrt{1+\sqrt{1+\sqrt{1+\sqrt{2}}}}",
        "7" * 1500,
        "-6.02e-230",
    ],
)
def test_what_is_right_is_not_refused(text: str) -> None:
    assert refusal(text) is None
