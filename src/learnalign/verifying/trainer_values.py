"""Converting a trainer's reward function arguments to text: golds, completions, prompts, rows."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.problems.golds import single
from learnalign.problems.suites.registry import tests_gold


def gold_texts(gold: Any) -> list[str]:
    """Read a trainer's gold as in a selection; returns texts, any of which is correct.

    Numbers may be Python's or NumPy's, and lists are flattened; single values are read by
    `learnalign.problems.golds.single`.

    Example:
        >>> gold_texts(72.0), gold_texts([["72"]]), gold_texts("3 * 400 #### 1,200")
        (['72'], ['72'], ['1200'])
        >>> gold_texts(["7", 7.5])
        ['7', '7.5']
    """
    gold = _plain(gold)
    tests = tests_gold(gold)
    if tests is not None:
        return [tests]
    if isinstance(gold, list | tuple):
        return [text for item in gold for text in gold_texts(item)]
    text = None if gold is None else single(gold)[0]
    return [text] if text else []


def completion_text(completion: Any) -> str:
    """Read a trainer's completion: text, a message, or a list; the last of several messages counts.

    Raises:
        LearnAlignError: if it contains no text.

    Example:
        >>> chat = [{"role": "assistant", "content": [{"type": "text", "text": "It is 4."}]}]
        >>> completion_text("4"), completion_text(chat), completion_text(["It is ", "4."])
        ('4', 'It is 4.', 'It is 4.')
    """
    completion = _plain(completion)
    if completion is None:
        return ""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Mapping):
        if "content" in completion:
            return completion_text(completion["content"])
        if "text" in completion:
            return completion_text(completion["text"])
    elif isinstance(completion, Iterable):
        parts = list(completion)
        if _are_messages(parts):
            return completion_text(parts[-1])
        return "".join(completion_text(part) for part in parts)
    raise LearnAlignError(
        f"got a completion of type {type(completion).__name__}",
        expected="text, or a list of messages",
        do="decode the completion before computing rewards",
    )


def prompt_text(prompt: Any) -> str:
    """Read a trainer's prompt: text unchanged, or the last user message.

    Images and token ids are ignored: the prompt is only needed to interpret answers.

    Example:
        >>> prompt_text([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": ""}])
        '2 + 2?'
        >>> prompt_text("2 + 2?"), prompt_text(None), prompt_text([17, 4])
        ('2 + 2?', '', '')
    """  # noqa: E501
    prompt = _plain(prompt)
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, Mapping):
        return prompt_text(prompt.get("content", prompt.get("text")))
    if not isinstance(prompt, Iterable):
        return ""
    parts = list(prompt)
    if not _are_messages(parts):
        return "".join(prompt_text(part) for part in parts)
    user_messages = [message for message in parts if message["role"] == "user"]
    return prompt_text((user_messages or parts)[-1])


def exported_row(text: Any) -> dict[str, Any]:
    """Read a row that an export wrote as JSON text; empty for any other value.

    Example:
        >>> exported_row('{"answer": "4"}'), exported_row(17), exported_row("row 17")
        ({'answer': '4'}, {}, {})
    """
    try:
        row = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        row = None
    return row if isinstance(row, dict) else {}


def as_json(request: Mapping[str, Any]) -> str:
    """Serialize a request with any row: arrays become lists, other non-JSON values become text.

    Example:
        >>> import numpy as np
        >>> as_json({"row": {"n": np.arange(2), "at": 2j}})
        '{"row": {"n": [0, 1], "at": "2j"}}'
    """
    return json.dumps(request, default=_json_value, skipkeys=True)


def _are_messages(parts: list[Any]) -> bool:
    return bool(parts) and all(isinstance(part, Mapping) and "role" in part for part in parts)


def _json_value(value: Any) -> Any:
    plain = _plain(value)
    return str(value) if plain is value else plain


def _plain(value: Any) -> Any:
    """Convert NumPy and torch values to plain Python."""
    return value.tolist() if hasattr(value, "tolist") else value
