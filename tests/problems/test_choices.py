"""A multiple choice is asked with its options; its gold is the label of the right one."""

from typing import Any

import pytest

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.choices import options_of, with_options
from learnalign.problems.columns import recognise
from learnalign.problems.rows import Rows

COLOURS = ["red", "green", "blue"]


def _read(answers: list[Any], options: list[Any], **config: Any) -> list[tuple[str, ...]]:
    rows = [
        {"question": "Which?", "answer": a, "choices": o}
        for a, o in zip(answers, options, strict=True)
    ]
    data = DataConfig(**config)
    reader = Rows(rows, recognise(rows, data, location="x"), data, "x")
    found = [reader.read(row, number, "x") for number, row in enumerate(rows)]
    return [(prompt.messages[0]["content"], *gold.texts) for prompt, gold in found]


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        ([0, 2], "AC"),
        (["1", 2.0], "BC"),
        ([1, 3], "AC"),
        (["b", "(C)"], "BC"),
        (["blue", "red"], "CA"),
        ([[1], [0]], "BA"),
    ],
)
def test_answers_point_at_options(answers: list[Any], labels: str) -> None:
    shown = "Which?\nA. red\nB. green\nC. blue"
    assert _read(answers, [COLOURS] * 2) == [(shown, label) for label in labels]


@pytest.mark.parametrize("answers", [[0, 3], ["violet", "black"], [7, 9]])
def test_answers_that_point_nowhere_are_an_error(answers: list[Any]) -> None:
    with pytest.raises(LearnAlignError, match="--answer-form index"):
        _read(answers, [COLOURS] * 2)


def test_numbers_that_may_be_options_or_their_places_ask() -> None:
    numbers = [[2, 1, 0], [0, 2, 1]]
    with pytest.raises(LearnAlignError, match="text of an option or index from 0"):
        _read([2, 1], numbers)
    assert [row[1] for row in _read([2, 1], numbers, answer_form="index")] == ["C", "B"]
    assert _read([2, 1], numbers, answer_form="text") == [("Which?", "2"), ("Which?", "1")]


def test_a_row_that_points_nowhere_among_many_has_no_gold() -> None:
    found = _read(["A"] * 19 + ["E"], [COLOURS] * 20)
    assert [row[1:] for row in found] == [("A",)] * 19 + [()]


def test_rows_without_options_keep_their_answer() -> None:
    found = _read(["A", "12"], [COLOURS, []])
    assert found[1] == ("Which?", "12")


def test_forms_of_options() -> None:
    letters = [("A", "red"), ("B", "green"), ("C", "blue")]
    for content in (
        COLOURS,
        str(COLOURS),
        ["A) red", "B) green", "C) blue"],
        dict(letters),
        [{"A": "red"}, {"B": "green"}, {"C": "blue"}],
        {"label": list("ABC"), "text": COLOURS},
    ):
        assert options_of(content) == letters
    for content in (None, [], ["one"], [["a"], ["b"]], "red, green", {"red": 1, "green": 2}):
        assert options_of(content) is None


def test_options_that_are_shown_already_are_not_shown_again() -> None:
    for question in (
        "Which?\n(A) red\n(B) blue",
        "Which? A: red B: blue",
        "**A.** red **B.** blue",
    ):
        assert with_options(question, [("A", "red"), ("B", "blue")]) == question
    assert with_options("Is red or blue A)?", [("A", "red"), ("B", "blue")]).endswith("B. blue")


@pytest.mark.parametrize(
    ("columns", "answers", "labels"),
    [
        (["A", "B", "C"], ["C", "a"], "CA"),
        (["option_a", "option_b", "option_c"], ["B", "C"], "BC"),
        (["opa", "opb", "opc"], [0, 2], "AC"),
        (["Option 1", "Option 2", "Option 3"], ["1", 3], "13"),
        (["choice0", "choice1", "choice2"], [0, 2], "02"),
    ],
)
def test_options_in_columns_of_their_own(
    columns: list[str], answers: list[Any], labels: str
) -> None:
    rows = [
        {"question": "Which?", "answer": a, **dict(zip(columns, COLOURS, strict=True))}
        for a in answers
    ]
    data = DataConfig()
    reader = Rows(rows, recognise(rows, data, location="x"), data, "x")
    found = [reader.read(row, number, "x") for number, row in enumerate(rows)]
    assert [gold.texts for _, gold in found] == [(label,) for label in labels]
    question = found[0][0].messages[0]["content"]
    assert [line.split(maxsplit=1)[1] for line in question.splitlines()[1:]] == COLOURS


def test_columns_named_by_letters_need_not_be_options() -> None:
    rows = [{"question": f"{a} + 1?", "A": a, "B": 1, "C": 2, "answer": a + 1} for a in range(4)]
    data = DataConfig()
    reader = Rows(rows, recognise(rows, data, location="x"), data, "x")
    prompt, gold = reader.read(rows[3], 3, "x")
    assert (prompt.messages[0]["content"], gold.texts) == ("3 + 1?", ("4",))
