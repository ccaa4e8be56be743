"""A chat is read in any form that data sets keep it in; what is no text is never shown as text."""

import json
from typing import Any

import pytest

from learnalign.errors import LearnAlignError
from learnalign.problems.chats import media_column, read_prompt

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What's 2+5?"}]
SHARED = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "What's 2+5?"}]


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (ASKED, "chat"),
        (json.dumps(ASKED), "chat, JSON text"),
        (json.dumps(ASKED, indent=2), "chat, JSON text"),
        (str(ASKED), "chat, Python literal"),
        (SHARED, "ShareGPT chat"),
        (json.dumps(SHARED), "ShareGPT chat, JSON text"),
        (
            {"role": ["system", "user"], "content": ["Be brief.", "What's 2+5?"]},
            "chat, object of lists",
        ),
        (
            {"from": ["system", "human"], "value": ["Be brief.", "What's 2+5?"]},
            "ShareGPT chat, object of lists",
        ),
        (
            [ASKED[0], {"role": "user", "content": [{"type": "text", "text": "What's 2+5?"}]}],
            "chat",
        ),
        ([*ASKED, {"role": "assistant", "content": "7"}], "chat, last assistant message dropped"),
        ([*ASKED, {"role": "assistant", "content": None}], "chat, last assistant message dropped"),
    ],
)
def test_chats(content: Any, form: str) -> None:
    prompt = read_prompt(content)
    assert (prompt.messages, prompt.reason) == (ASKED, "")
    assert prompt.form.replace("object of lists, JSON", "JSON") == form


def test_the_beginning_of_an_answer_is_kept_where_it_is_asked_for() -> None:
    begun = [*ASKED, {"role": "assistant", "content": "The sum is"}]
    assert read_prompt(begun, last="prefill").messages == begun
    assert read_prompt(ASKED, last="prefill").messages == ASKED


@pytest.mark.parametrize(
    "text",
    [
        "[{'role': 'user', 'content': 'a'} {'role': 'assistant', 'content': 'b'}]",
        "array([{'content': 'a', 'role': user}])",
        '[{"name": "ann", "role": "user", "content": "a"]',
        '[{"role": "user", "content": "cut of',
        "{'from': 'human', 'value': __import__('os')}",
    ],
)
def test_what_begins_like_a_chat_and_is_none_is_an_error(text: str) -> None:
    with pytest.raises(LearnAlignError, match=r"pool, row 8: the prompt looks like chat"):
        read_prompt(text, location="pool, row 8")


@pytest.mark.parametrize("text", ["[1, 2] is sorted?", '{"a": 1} is JSON?', "[{x}] = ?"])
def test_text_that_only_looks_like_json_is_text(text: str) -> None:
    assert read_prompt(text).messages == [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "empty_prompt"),
        (" \n", "empty_prompt"),
        ([], "empty_prompt"),
        (ASKED[:1], "empty_prompt"),
        ([*ASKED, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}], "tool_calls"),
        ([*ASKED, {"role": "tool", "content": "7"}], "tool_calls"),
        ([{"role": "user", "content": [{"type": "image"}]}], "image_prompt"),
        ([{"role": "user", "content": "What is it?", "images": ["a.png"]}], "image_prompt"),
        ({"role": ["user"], "content": ["What is it?"], "images": ["a", "b"]}, "image_prompt"),
        (
            {
                "role": ["user", "assistant"],
                "content": ["Now?", ""],
                "tool_calls": [None, [{"function": {"name": "clock"}}]],
            },
            "tool_calls",
        ),
        ([{"role": "user", "content": [{"type": "input_audio", "text": "x"}]}], "image_prompt"),
        ([{"role": "user", "content": None}, ASKED[1]], "unreadable_prompt"),
        ([{"content": "no role"}], "unreadable_prompt"),
        ({"role": ["user"], "content": ["a", "b"]}, "empty_prompt"),
        ([1, 2], "unreadable_prompt"),
        (7, "unreadable_prompt"),
    ],
)
def test_what_cannot_be_shown_has_a_reason(content: Any, reason: str) -> None:
    prompt = read_prompt(content)
    assert (prompt.messages, prompt.reason) == ([], reason)


def test_other_keys_of_messages_change_nothing() -> None:
    lists = {"role": ["user", "assistant"], "content": ["1 + 1?", "2"], "images": [[], None]}
    assert read_prompt(lists | {"weight": [0, 1], "id": 7}).messages == [
        {"role": "user", "content": "1 + 1?"}
    ]


def test_images_beside_a_question() -> None:
    assert media_column({"q": "<image> Which?", "Image": {"bytes": b"1", "path": None}}) == "Image"
    assert media_column({"q": "<image> Which?", "images": [], "video": None}) is None


@pytest.mark.parametrize(
    "text",
    [
        '[{"name": "ann", "role": "user", "content": "1+1?"}]',
        "{'id': 3, 'from': 'human', 'value': '1+1?'}",
        "array([{'content': '1+1?', 'role': 'user'}], dtype=object)",
        "[{'content': 'Be brief.', 'role': 'system'}\n {'content': '1+1?', 'role': 'user'}]",
    ],
)
def test_chats_as_other_libraries_print_them(text: str) -> None:
    assert read_prompt(text).messages[-1] == {"role": "user", "content": "1+1?"}


@pytest.mark.parametrize(
    "text",
    [
        "<image> How many?",
        "See <image_2>.",
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<video>\nWhen?",
    ],
)
def test_text_with_the_place_of_an_image_is_not_whole(text: str) -> None:
    assert read_prompt(text).reason == "image_prompt"
    assert read_prompt([{"role": "user", "content": text}]).reason == "image_prompt"


def test_text_about_tags_is_text() -> None:
    for text in ("Which tag is older, <img> or <video>?", "<images> is no tag", "a < image > b"):
        assert not read_prompt(text).reason


def test_images_are_known_by_their_bytes() -> None:
    png = b"\x89PNG\r\n\x1a\n"
    for content in (png, {"bytes": png, "path": None}, [{"bytes": png}]):
        assert media_column({"question": "Which?", "figure": content}) == "figure"
    assert media_column({"question": "Which?", "figure": b"\x00\x01", "more": {"bytes": 3}}) is None
