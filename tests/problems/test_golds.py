"""The gold is what a person would take out of the column, or the row says why there is none."""

from typing import Any

import pytest

from learnalign.problems.golds import GoldReader, answer_of


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("9 (apples)", "9 (apples)"),
        (["5"], "5"),
        ([[["31"]]], "31"),
        (0, "0"),
        (2.5, "2.5"),
        (6.0, "6"),
        (True, "True"),
        ("x\n#### -1,234,567.5", "-1234567.5"),
        ("so it is ####12", "12"),
        ("so it is\n####   12  ", "12"),
        ("so it is\n####\n12", "12"),
        (r"\$4.20", "4.20"),
        ("$4.20", "4.20"),
        (r"-\$4.20", "-4.20"),
        (r"\$4\text{ each}", r"4\text{ each}"),
        ("$x+1$", "$x+1$"),
        ('["19"]', "19"),
        ("['19']", "19"),
        ('[["19"]]', "19"),
        ("[0, 1]", "[0, 1]"),
        ("[2,5)", "[2,5)"),
        (r"\{1, 2\}", r"\{1, 2\}"),
        ("{1, 2}", "{1, 2}"),
        ([3, 3.0], "3"),
        ([None, "8"], "8"),
        (["8", "eight"], 'any of ["8", "eight"]'),
    ],
)
def test_answers(content: Any, answer: str) -> None:
    assert answer_of(content) == answer


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing_answer"),
        (float("nan"), "missing_answer"),
        ("  ", "missing_answer"),
        ([], "missing_answer"),
        ([None], "missing_answer"),
        ([[]], "missing_answer"),
        ({"a": ["x"]}, "object_answer"),
        ('{"a": "x"}', "object_answer"),
        ("{'a': 'x'}", "object_answer"),
        ([{"a": "x"}], "object_answer"),
        ([1, 2], "unreadable_answer"),
        (["1", ["2"]], "unreadable_answer"),
        (b"7", "unreadable_answer"),
        ("#### 7\nand more\nlines", "unreadable_answer"),
        ("\frac{1}{2}", "unreadable_answer"),
    ],
)
def test_what_is_no_answer_has_a_reason(content: Any, reason: str) -> None:
    gold = GoldReader([content], "g").read(content)
    assert (gold.texts, gold.reason) == ((), reason)


def test_an_object_names_the_columns_that_reach_into_it() -> None:
    assert "g.0.best or g.0.all " in GoldReader([], "g").read([{"best": 1, "all": []}]).detail


def test_lists_written_as_text_are_read_only_where_the_whole_column_is_of_them() -> None:
    alone = GoldReader(['["a"]', '["b", "c"]', None], "g")
    assert alone.read('["b", "c"]').texts == ("b", "c")
    for other in ("plain", "[0, 1]"):
        mixed = GoldReader(['["a"]', other], "g")
        assert mixed.read('["a"]').texts == ('["a"]',)


def test_as_it_stands() -> None:
    read = GoldReader(['["a"]'], "g", "text").read
    assert read('["a"]').texts == ('["a"]',)
    assert read({"inputs": [1]}).texts == ('{"inputs": [1]}',)
    assert read("so #### 7").texts == ("so #### 7",)
    assert read(" ").reason == "missing_answer"


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("Add them.\nIt is 7.", "text of several lines"),
        ("Add them.\nIt is $\\boxed{7}$.", "text of several lines with \\boxed"),
        ("Add them. " * 30, "long text"),
        ("[0, 1]", "text"),
        (True, "true or false"),
        ("7", "text"),
    ],
)
def test_what_may_be_no_answer_is_told(content: Any, form: str) -> None:
    assert GoldReader(["plain", content], "g").read(content).form == form


def test_numbers_too_large_for_a_float_are_no_golds() -> None:
    for content in (float("inf"), [-1e999]):
        assert GoldReader([], "g").read(content).reason == "unreadable_answer"


def test_text_like_a_list_among_other_texts_is_said() -> None:
    read = GoldReader(['["7", "7.0"]', "5"], "answer").read
    assert read('["7", "7.0"]').texts == ('["7", "7.0"]',)
    assert read('["7", "7.0"]').form == "text, like a list"
    assert read("5").form == "text"
