"""Rows of the usual shapes are read as they are meant; doubtful ones ask for a flag."""

from typing import Any

import pytest

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.columns import answer_of, messages_of, recognise, value

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
    columns = recognise(row, DataConfig(), place="x")
    assert (columns.prompt, columns.answer) == (prompt, answer)
    assert messages_of(value(row, columns.prompt)) == CHAT


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "1+1?", "answer": "2"}, "the prompt: none .* text, answer"),
        ({"question": "1+1?", "prompt": "Add 1+1", "answer": "2"}, "the prompt: 2 that can be it"),
        ({"question": "1+1?", "y": "2"}, "the answer: none .* question, y"),
        ({"question": "1+1?", "answer": "2", "ground_truth": "3"}, "the answer: 2 that can be it"),
    ],
)
def test_doubt_says_what_it_saw_and_asks_for_the_flag(row: dict[str, Any], message: str) -> None:
    with pytest.raises(LearnAlignError, match=rf"(?s){message}.*-column"):
        recognise(row, DataConfig(), place="x")


def test_named_columns_go_first_and_reach_into_nested_ones() -> None:
    row = {"question": "a", "prompt": "b", "meta": {"gold": 7.0}}
    config = DataConfig(prompt_column="prompt", answer_column="meta.gold")
    columns = recognise(row, config, place="x")
    assert (value(row, columns.prompt), answer_of(value(row, columns.answer))) == ("b", "7")


def test_named_column_that_is_missing_names_the_nearest() -> None:
    row = {"question": "a", "answer": "2", "meta": {"gold": 1}}
    with pytest.raises(LearnAlignError, match=r"(?s)nearest is 'question'.*--prompt-column"):
        recognise(row, DataConfig(prompt_column="qestion"), place="x")
    with pytest.raises(LearnAlignError, match=r"nearest is 'meta\.gold'"):
        recognise(row, DataConfig(answer_column="meta.gol"), place="x")


def test_messages() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "1+1?"}]}]
    assert messages_of(parts) == CHAT
    assert messages_of([*CHAT, {"role": "assistant", "content": "2"}]) == CHAT
    assert messages_of([{"role": "user", "content": [{"type": "image"}]}]) is None
    assert messages_of("  ") is None
    assert messages_of([]) is None


def test_answers() -> None:
    assert answer_of("9 (apples)") == "9 (apples)"
    assert answer_of(["5"]) == "5"
    assert answer_of(0) == "0"
    assert answer_of(2.5) == "2.5"
    assert answer_of("x\n#### -1,234,567.5") == "-1234567.5"
    assert answer_of(None) is None
    assert answer_of("") is None
