"""Reading a prompt: text, or chat messages in any of the usual data set forms."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from learnalign.errors import LearnAlignError
from learnalign.problems.nested import empty, parsed

Messages = list[dict[str, str]]
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "developer": "system",
    "function": "tool",
    "observation": "tool",
    "function_call": "tool",
}
#: How a chat written as text begins; what begins so and cannot be read is no question.
_CHAT = re.compile(r"""\s*(?:\[\s*)?\{\s*(['"])(role|content|from|value|messages)['"]\s*:""")
#: Objects with other keys first, and NumPy's arrays of objects, are chats by all of their keys.
_OBJECT = re.compile(r"""\s*(?:array\(\s*)?(?:\[\s*)?\{\s*(['"])""")
_CHAT_KEYS = tuple(
    tuple(re.compile(rf"""['"]{key}['"]\s*:""") for key in keys)
    for keys in (("role", "content"), ("from", "value"))
)
#: NumPy prints no comma between objects, and no line ends inside a text that Python prints.
_NUMPY_ROWS = re.compile(r"\}\s*\n\s*\{")
_NUMPY = re.compile(r"\s*array\((.*?)(?:,\s*dtype=object)?\)\s*", re.DOTALL)
#: What a text writes where an image, a film or a sound belongs.
_PLACEHOLDER = re.compile(
    r"<(?:image(?:[ _]?\d+)?|\|(?:image|video|audio)\w*\|)>|^<(?:video|audio)>", re.MULTILINE
)
_TEXT_PARTS = {"text", "input_text", "output_text", None}


@dataclass(frozen=True)
class Prompt:
    """A prompt that was read, or why it cannot be used."""

    messages: Messages
    """Empty if it cannot be used. The last is the user's, or begins the assistant's turn."""
    form: str
    """What it was written as."""
    reason: str = ""
    """Of EXCLUDED; empty if it can be used."""
    detail: str = ""


def read_prompt(
    content: Any, *, last: Literal["drop", "prefill"] = "drop", place: str = "the row"
) -> Prompt:
    """Read a prompt.

    Args:
        content: Text, a list of messages (``role``/``content``, or ShareGPT's ``from``/``value``),
            an object of lists (``{"role": [...], "content": [...]}``), or one of these as JSON text
            or as Python prints it.
        last: What becomes of the assistant's messages at the end: they are left out (a reference
            answer must not be shown), or the last one begins the model's answer.
        place: Of the row, for the error.

    Raises:
        LearnAlignError: for text that begins like a chat and cannot be read as one.

    Example:
        >>> read_prompt('[{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}]')
        ... # doctest: +NORMALIZE_WHITESPACE
        Prompt(messages=[{'role': 'user', 'content': '1+1?'}],
               form="ShareGPT chat, JSON text, the assistant's end left out", reason='',
               detail='')
    """
    written = ""
    if isinstance(content, str):
        begins = _begins_as_chat(content)
        if not begins:
            return _text(content)
        written = ", JSON text" if begins[1] == '"' else ", Python's text"
        content = _chat_text(content, place)
    if isinstance(content, Mapping) and "messages" in content:
        content = content["messages"]
    if isinstance(content, Mapping):
        content = _in_rows(content)
        written = ", an object of lists" + written
    if empty(content):
        return Prompt([], "empty", "empty_prompt")
    if not isinstance(content, list) or not all(isinstance(m, Mapping) for m in content):
        detail = f"{type(content).__name__}: neither text nor chat messages"
        return Prompt([], "unreadable", "unreadable_prompt", detail)
    share = "from" in content[0] and "role" not in content[0]
    return _chat(content, ("ShareGPT chat" if share else "chat") + written, last)


def _begins_as_chat(text: str) -> re.Match[str] | None:
    begins = _CHAT.match(text)
    if begins is None and (other := _OBJECT.match(text)) and text.rstrip()[-1] in "]})":
        known = any(all(key.search(text) for key in keys) for keys in _CHAT_KEYS)
        begins = other if known else None
    return begins


def _text(content: str) -> Prompt:
    if not content.strip():
        return Prompt([], "empty", "empty_prompt")
    if placeholder := _PLACEHOLDER.search(content):
        return Prompt([], "text", "image_prompt", f"it says {placeholder[0]}")
    return Prompt([{"role": "user", "content": content}], "text")


def _chat_text(text: str, place: str) -> Any:
    found = parsed(text)
    if found is None:  # NumPy's way to print it
        array = _NUMPY.fullmatch(text)
        found = parsed(_NUMPY_ROWS.sub("}, {", array[1] if array else text))
    if found is None:
        raise LearnAlignError(
            f"{place}: the prompt looks like chat messages but cannot be parsed: "
            f"{text.strip()[:60]!r}",
            expected="messages as JSON or as a Python literal, or plain text",
            do="fix the row, or name the question column with --prompt-column",
        )
    return found


def _in_rows(content: Mapping[str, Any]) -> Any:
    """Turn an object of lists into a list of messages; one message is a list of one."""
    keys = [key for key in ("role", "content", "from", "value") if key in content]
    lists = [content[key] for key in keys]
    if lists and all(isinstance(x, list) for x in lists):
        if len({len(x) for x in lists}) > 1:
            return None
        return [dict(zip(keys, values, strict=True)) for values in zip(*lists, strict=True)]
    return [content] if len(keys) >= 2 else content


def _chat(content: list[Mapping[str, Any]], form: str, last: str) -> Prompt:
    messages: Messages = []
    for number, message in enumerate(content, 1):
        role = str(message.get("role") or message.get("from") or "").lower()
        role = _ROLES.get(role, role)
        where = f"message {number}"
        if not empty(message.get("tool_calls")) or not empty(message.get("function_call")):
            return Prompt([], form, "tool_calls", f"{where} ({role or 'no role'}) calls tools")
        if role == "tool" or str(message.get("type", "")).startswith("function_call"):
            return Prompt([], form, "tool_calls", f"{where} is a tool's")
        found = message["content"] if "content" in message else message.get("value")
        text, kind = _content(found)
        if kind:
            return Prompt([], form, "image_prompt", f"{where} holds a part of type {kind}")
        if not role or text is None or (found is None and number < len(content)):
            detail = f"{where} has no {'content' if role else 'role'} that can be read"
            return Prompt([], form, "unreadable_prompt", detail)
        if placeholder := _PLACEHOLDER.search(text):
            return Prompt([], form, "image_prompt", f"{where} says {placeholder[0]}")
        messages.append({"role": role, "content": text})
    return _ended(messages, form, last)


def _ended(messages: Messages, form: str, last: str) -> Prompt:
    """Handle trailing assistant messages."""
    answers: Messages = []
    while messages and messages[-1]["role"] == "assistant":
        answers.insert(0, messages.pop())
    if not messages or messages[-1]["role"] == "system" or not messages[-1]["content"].strip():
        return Prompt([], form, "empty_prompt", "no message of the user's to answer")
    if answers and last == "prefill":
        if len(answers) > 1 or not answers[0]["content"]:
            detail = "the assistant's turn at the end is empty or in several messages"
            return Prompt([], form, "unreadable_prompt", detail)
        return Prompt(messages + answers, form + ", the assistant's end begins the answer")
    return Prompt(messages, form + (", the assistant's end left out" if answers else ""))


def _content(content: Any) -> tuple[str | None, str]:
    """Read a message's content: text or text parts; name the kind of a part that is no text."""
    if content is None:
        return "", ""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        return (content if isinstance(content, str) else None), ""
    texts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in _TEXT_PARTS:
            return None, str(kind)
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            return None, ""
        texts.append(text)
    return "".join(texts), ""


def apart(messages: Messages) -> tuple[Messages, str]:
    """Take the beginning of the assistant's turn, if there is one, from the messages before it.

    Example:
        >>> chat = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "It is"}]
        >>> apart(chat)
        ([{'role': 'user', 'content': '1+1?'}], 'It is')
    """
    if messages[-1]["role"] != "assistant":
        return messages, ""
    return messages[:-1], messages[-1]["content"]


def question_of(messages: Messages) -> str:
    """Return the question: the last message before the assistant's turn."""
    return apart(messages)[0][-1]["content"]


#: How the files of images (PNG, JPEG, GIF, WebP) and of sound and film (WAV, AVI) begin.
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")
#: Columns that hold what is no text.
_MEDIA = {f"{name}{s}" for name in ("image", "video", "audio", "decoded_image") for s in ("", "s")}


def media_column(row: Mapping[str, Any]) -> str | None:
    """Name the column of a row that holds an image, a film or sound; None if there is none.

    Example:
        >>> media_column({"question": "<image> How many?", "images": [{"bytes": b"x"}]})
        'images'
    """
    for name, content in row.items():
        if name.lower() in _MEDIA and not empty(content) and content is not False:
            return name
        if _is_image(content):
            return name
    return None


def _is_image(content: Any) -> bool:
    """Return whether a value is an image's bytes, or an object (or a list) that holds some."""
    if isinstance(content, list) and content:
        content = content[0]
    if isinstance(content, Mapping):
        content = content.get("bytes")
    return isinstance(content, bytes) and content.startswith(_IMAGES)
