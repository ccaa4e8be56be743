"""A warning about prompts appears where the trainer would read another one, and nowhere else."""

import json
from typing import Any

import pytest

from helpers.exports import problem
from learnalign.errors import LearnAlignError
from learnalign.formats.trainers.registry import TRAINERS

CHAT = [{"role": "user", "content": "2+2?"}]
SYSTEM = {"role": "system", "content": "Be brief."}
GYM = {"agent_ref": {"name": "mine"}, "question": "2+2?", "expected_answer": "4"}
#: Rows with a plain text as prompt, which each trainer makes a user's message of.
TEXTS: list[tuple[str, dict[str, Any]]] = [
    ("openrlhf", {"input": "2+2?", "label": "4"}),
    ("slime", {"prompt": "2+2?", "label": "4"}),
    ("nemo-rl", {"input": "2+2?", "output": "4"}),
    ("nemo-rl", {"problem": "2+2?", "expected_answer": "4"}),
    ("rllm", {"question": "2+2?", "ground_truth": "4"}),
    ("rllm", {"instruction": "2+2?", "ground_truth": "4"}),
    ("nemo-gym", GYM | {"responses_create_params": {"input": "2+2?"}}),
    ("verifiers", {"question": "2+2?", "answer": "4", "info": {}}),
]
#: Rows with a chat in other words than the problem's.
CHATS: list[tuple[str, dict[str, Any]]] = [
    ("slime", {"prompt": [CHAT[0] | {"name": None}], "label": "4"}),
    ("openrlhf", {"input": [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}],
                  "label": "4"}),
    ("areal", {"messages": CHAT, "answer": "4"}),
    ("trl", {"prompt": [CHAT[0] | {"name": None}], "solution": "4"}),
]  # fmt: skip


def _export(run: Any, kind: str, row: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    more = options.pop("problem", {"messages": CHAT, "prompt": "<user>2+2?<assistant>"})
    done, _ = run(kind, [problem(4, row, **more)], selected=(4,), control=False, **options)
    return done, json.loads(done.paths[0].read_text())


@pytest.mark.parametrize(("kind", "row"), TEXTS + CHATS)
def test_no_warning_where_the_trainer_asks_the_same(run, kind, row):
    done, found = _export(run, kind, row)
    assert done.warnings == []
    assert {name: found[name] for name in row} == row
    assert "learnalign_row" not in found


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("trl", {"prompt": "2+2?", "solution": "4"}),
        ("verifiers", {"prompt": "2+2?", "answer": "4"}),
        ("slime", {"prompt": "2+2? Think.", "label": "4"}),
        ("openrlhf", {"input": [*CHAT, {"role": "assistant", "content": "4"}], "label": "4"}),
    ],
)
def test_a_warning_where_it_asks_something_else(run, kind, row):
    (warning,) = _export(run, kind, row)[0].warnings
    assert "not what the model was scored on" in warning


def test_text_that_was_scored_as_it_is(run):
    scored = {"messages": CHAT, "prompt": "2+2?"}
    assert (
        _export(run, "trl", {"prompt": "2+2?", "solution": "4"}, problem=scored)[0].warnings == []
    )


def test_instructions_of_a_request_are_part_of_its_prompt(run):
    request = {"instructions": SYSTEM["content"], "input": CHAT}
    scored = {"messages": [SYSTEM, *CHAT]}
    row = GYM | {"responses_create_params": request}
    assert _export(run, "nemo-gym", row, problem=scored)[0].warnings == []
    brief = {"role": "system", "content": "Only the number."}
    _, found = _export(
        run, "nemo-gym", row, problem=scored, out="scored",
        add_instructions=lambda messages, _: [brief, *messages[1:]],
    )  # fmt: skip
    assert found["responses_create_params"] == {"instructions": None, "input": [brief, *CHAT]}


@pytest.mark.parametrize(("kind", "row"), TEXTS)
def test_a_system_prompt_is_in_a_row_once_or_refused(run, kind, row):
    options = {"add_instructions": lambda messages, _: [SYSTEM, *messages]}
    if TRAINERS[kind].text_prompt:
        with pytest.raises(LearnAlignError, match=r"(?s)system, user.*--system\) belongs into"):
            _export(run, kind, row, **options)
        return
    _, found = _export(run, kind, row, **options)
    assert TRAINERS[kind].asked(found) == [SYSTEM, *CHAT]
    assert json.dumps(found).count(SYSTEM["content"]) == 1


@pytest.mark.parametrize(("kind", "row"), TEXTS)
def test_an_instruction_is_where_the_trainer_reads_it(run, kind, row):
    asked = [{"role": "user", "content": "2+2? Only the number."}]
    _, found = _export(run, kind, row, add_instructions=lambda *_: asked)
    assert TRAINERS[kind].asked(found) == asked


@pytest.mark.parametrize("kind", ["nemo-rl", "rllm"])
def test_the_warning_of_a_system_prompt_says_where_it_belongs(run, kind):
    row = dict(TEXTS)[kind]
    (warning,) = _export(run, kind, row, scored_with=("--system",))[0].warnings
    assert f"belongs into {TRAINERS[kind].system_prompt}" in warning
