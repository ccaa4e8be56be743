"""Rows of the usual shapes are read as they are meant; doubtful ones ask for a flag."""

from typing import Any

import pytest

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.chats import read_prompt
from learnalign.problems.columns import recognise
from learnalign.problems.golds import answer_of
from learnalign.problems.nested import value

CHAT = [{"role": "user", "content": "1+1?"}]


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"question": "1+1?", "answer": "so 2\n#### 2"}, "question", "answer"),
        ({"problem": "1+1?", "solution": "long", "answer": "2"}, "problem", "answer"),
        ({"prompt": CHAT, "solution": "$2$"}, "prompt", "solution"),
        ({"messages": CHAT, "ground_truth": "2", "dataset": "math"}, "messages", "ground_truth"),
        ({"question": "1+1?", "answer": "2", "metadata": {}}, "question", "answer"),
        ({"question": "1+1?", "expected_answer": "2"}, "question", "expected_answer"),
        (
            {
                "data_source": "m",
                "prompt": CHAT,
                "reward_model": {"ground_truth": "2"},
                "answer": "x",
            },
            "prompt",
            "reward_model.ground_truth",
        ),
    ],
)
def test_usual_shapes(row: dict[str, Any], prompt: str, answer: str) -> None:
    columns = recognise([row], DataConfig(), location="x")
    assert (columns.prompt, columns.answer) == (prompt, answer)
    assert read_prompt(value(row, columns.prompt)).messages == CHAT


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "1+1?", "answer": "2"}, "the prompt: no known name.* text, answer"),
        ({"question": "1+1?", "prompt": "Add 1+1", "answer": "2"}, "the prompt: 2 candidates"),
        ({"question": "1+1?", "y": "2"}, "the answer: no known name.* question, y"),
        ({"question": "1+1?", "answer": "2", "ground_truth": "3"}, "the answer: 2 candidates"),
    ],
)
def test_doubt_says_what_it_saw_and_asks_for_the_flag(row: dict[str, Any], message: str) -> None:
    with pytest.raises(LearnAlignError, match=rf"(?s){message}.*-column"):
        recognise([row], DataConfig(), location="x")


def test_named_columns_go_first_and_reach_into_nested_ones() -> None:
    row = {"question": "a", "prompt": "b", "meta": {"gold": 7.0}}
    config = DataConfig(prompt_column="prompt", answer_column="meta.gold")
    columns = recognise([row], config, location="x")
    assert (value(row, columns.prompt), answer_of(value(row, columns.answer))) == ("b", "7")


def test_named_column_that_is_missing_names_the_nearest() -> None:
    row = {"question": "a", "answer": "2", "meta": {"gold": 1}}
    with pytest.raises(LearnAlignError, match=r"(?s)nearest is 'question'.*--prompt-column"):
        recognise([row], DataConfig(prompt_column="qestion"), location="x")
    with pytest.raises(LearnAlignError, match=r"nearest is 'meta\.gold'"):
        recognise([row], DataConfig(answer_column="meta.gol"), location="x")


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"Problem": "1+1?", "Final Answer": "2"}, "Problem", "Final Answer"),
        ({"conversations": CHAT, "answer": "2"}, "conversations", "answer"),
        (
            {"responses_create_params": {"input": CHAT}, "expected_answer": "2"},
            "responses_create_params.input",
            "expected_answer",
        ),
        (
            {"responses_create_params": {"input": CHAT}, "verifier_metadata": {"answer": "2"}},
            "responses_create_params.input",
            "verifier_metadata.answer",
        ),
        (
            {"prompt": CHAT, "reward_spec": {"method": "rule", "ground_truth": "2"}},
            "prompt",
            "reward_spec.ground_truth",
        ),
        (
            {"prompt": CHAT, "verification_info": '{"ground_truth": "2"}'},
            "prompt",
            "verification_info.ground_truth",
        ),
        ({"prompt": CHAT, "answer": None, "ground_truth": "2"}, "prompt", "ground_truth"),
    ],
)
def test_rows_of_trainers(row: dict[str, Any], prompt: str, answer: str) -> None:
    columns = recognise([row], DataConfig(), location="x")
    assert (columns.prompt, columns.answer) == (prompt, answer)
    assert value(row, columns.answer) == "2"


def test_columns_of_all_rows_count() -> None:
    rows = [{"question": "a"}, {"question": "b", "answer": "2"}]
    assert recognise(rows, DataConfig(), location="x").answer == "answer"
    rows[0]["ground_truth"] = "3"
    with pytest.raises(LearnAlignError, match="answer, ground_truth"):
        recognise(rows, DataConfig(), location="x")


def test_columns_without_contents_count_where_there_is_no_other() -> None:
    row = {"question": "", "answer": None, "ground_truth": None}
    columns = recognise([row], DataConfig(), location="x")
    assert (columns.prompt, columns.answer) == ("question", "answer")
    assert (
        recognise([row | {"ground_truth": 3}], DataConfig(), location="x").answer == "ground_truth"
    )


def test_a_question_that_may_need_another_column_asks() -> None:
    row = {"Body": "Ann has 3 pens and buys 2.", "Question": "How many now?", "Answer": 5.0}
    with pytest.raises(LearnAlignError, match=r"(?s)'Body' next to 'Question'.*row\.Body"):
        recognise([row], DataConfig(), location="x")
    assert recognise([row | {"Body": ""}], DataConfig(), location="x").prompt == "Question"
    named = DataConfig(prompt_column="Question")
    assert recognise([row], named, location="x").prompt == "Question"


def test_dots_reach_into_text() -> None:
    row = {"info": "{'golds': ['4', '5'], 'deep': '{\"gold\": 6}'}"}
    assert value(row, "info.golds.1") == "5"
    assert value(row, "info.deep.gold") == 6
    assert value(row, "info.golds.9") is None
    assert value({"info": "plain"}, "info.gold") is None
