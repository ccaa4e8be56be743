"""Reading a prompt: text, or chat messages in any common data set format."""

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
#: Start of a chat written as text; such text must parse, it is never used as a question.
_CHAT = re.compile(r"""\s*(?:\[\s*)?\{\s*(['"])(role|content|from|value|messages)['"]\s*:""")
#: For objects with other keys first and NumPy arrays of objects, all keys decide.
_OBJECT = re.compile(r"""\s*(?:array\(\s*)?(?:\[\s*)?\{\s*(['"])""")
_CHAT_KEYS = tuple(
    tuple(re.compile(rf"""['"]{key}['"]\s*:""") for key in keys)
    for keys in (("role", "content"), ("from", "value"))
)
#: NumPy prints objects without commas between them; Python prints strings without line breaks.
_NUMPY_ROWS = re.compile(r"\}\s*\n\s*\{")
_NUMPY = re.compile(r"\s*array\((.*?)(?:,\s*dtype=object)?\)\s*", re.DOTALL)
#: Placeholders for an image, video or audio in a text.
_PLACEHOLDER = re.compile(
    r"<(?:image(?:[ _]?\d+)?|\|(?:image|video|audio)\w*\|)>|^<(?:video|audio)>", re.MULTILINE
)
_TEXT_PARTS = {"text", "input_text", "output_text", None}


@dataclass(frozen=True)
class Prompt:
    """A parsed prompt, or why it cannot be used."""

    messages: Messages
    """Empty if it cannot be used. The last is the user's, or the start of the assistant's turn."""
    form: str
    """The format it was written in."""
    reason: str = ""
    """The reason for EXCLUDED; empty if it can be used."""
    detail: str = ""


def read_prompt(
    content: Any, *, last: Literal["drop", "prefill"] = "drop", location: str = "the row"
) -> Prompt:
    """Read a prompt.

    Args:
        content: Text, a list of messages (``role``/``content``, or ShareGPT's ``from``/``value``),
            an object of lists (``{"role": [...], "content": [...]}``), or one of these as JSON text
            or as Python prints it.
        last: How to handle assistant messages at the end: drop them (a reference answer must not be
            shown), or use the last one as the start of the model's answer.
        location: Location of the row, for the error.

    Raises:
        LearnAlignError: for text that starts like a chat but cannot be parsed.

    Example:
        >>> read_prompt('[{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}]')
        ... # doctest: +NORMALIZE_WHITESPACE
        Prompt(messages=[{'role': 'user', 'content': '1+1?'}],
               form='ShareGPT chat, JSON text, last assistant message dropped', reason='',
               detail='')
    """
    written = ""
    if isinstance(content, str):
        start = _chat_start(content)
        if not start:
            return _text(content)
        written = ", JSON text" if start[1] == '"' else ", Python literal"
        content = _chat_text(content, location)
    if isinstance(content, Mapping) and "messages" in content:
        content = content["messages"]
    if isinstance(content, Mapping):
        content = _as_messages(content)
        written = ", object of lists" + written
    if empty(content):
        return Prompt([], "empty", "empty_prompt")
    if not isinstance(content, list) or not all(isinstance(m, Mapping) for m in content):
        detail = f"{type(content).__name__} is neither text nor chat messages"
        return Prompt([], "unreadable", "unreadable_prompt", detail)
    share_gpt = "from" in content[0] and "role" not in content[0]
    return _chat(content, ("ShareGPT chat" if share_gpt else "chat") + written, last)


def _chat_start(text: str) -> re.Match[str] | None:
    start = _CHAT.match(text)
    if start is None and (other := _OBJECT.match(text)) and text.rstrip()[-1] in "]})":
        known = any(all(key.search(text) for key in keys) for keys in _CHAT_KEYS)
        start = other if known else None
    return start


def _text(content: str) -> Prompt:
    if not content.strip():
        return Prompt([], "empty", "empty_prompt")
    if placeholder := _PLACEHOLDER.search(content):
        return Prompt([], "text", "image_prompt", f"contains {placeholder[0]}")
    return Prompt([{"role": "user", "content": content}], "text")


def _chat_text(text: str, location: str) -> Any:
    chat = parsed(text)
    if chat is None:  # NumPy's printed form
        array = _NUMPY.fullmatch(text)
        chat = parsed(_NUMPY_ROWS.sub("}, {", array[1] if array else text))
    if chat is None:
        raise LearnAlignError(
            f"{location}: the prompt looks like chat messages but cannot be parsed: "
            f"{text.strip()[:60]!r}",
            expected="messages as JSON or as a Python literal, or plain text",
            do="fix the row, or name the question column with --prompt-column",
        )
    return chat


def _as_messages(content: Mapping[str, Any]) -> Any:
    """Convert an object of lists, or a single message, to a list of messages."""
    keys = [key for key in ("role", "content", "from", "value") if key in content]
    lists = [content[key] for key in keys]
    if lists and all(isinstance(x, list) for x in lists):
        if len({len(x) for x in lists}) > 1:
            return None
        whole = {key: x for key, x in content.items() if key not in keys}
        for key, x in whole.items():  # such as tool_calls, one for each message
            if isinstance(x, list) and len(x) == len(lists[0]):
                keys.append(key)
        columns = [content[key] for key in keys]
        messages = [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]
        rest = {key: x for key, x in whole.items() if key not in keys}
        return [rest | messages[0], *messages[1:]] if messages else messages
    return [content] if len(keys) >= 2 else content


def _chat(content: list[Mapping[str, Any]], form: str, last: str) -> Prompt:
    messages: Messages = []
    for number, message in enumerate(content, 1):
        role = str(message.get("role") or message.get("from") or "").lower()
        role = _ROLES.get(role, role)
        label = f"message {number}"
        if not empty(message.get("tool_calls")) or not empty(message.get("function_call")):
            return Prompt([], form, "tool_calls", f"{label} ({role or 'no role'}) calls tools")
        if role == "tool" or str(message.get("type", "")).startswith("function_call"):
            return Prompt([], form, "tool_calls", f"{label} is from a tool")
        if (media := media_column(message)) is not None:
            return Prompt([], form, "image_prompt", f"{label} has '{media}'")
        raw = message["content"] if "content" in message else message.get("value")
        text, kind = _content(raw)
        if kind:
            return Prompt([], form, "image_prompt", f"{label} has a part of type {kind}")
        if not role or text is None or (raw is None and number < len(content)):
            detail = f"{label} has no readable {'content' if role else 'role'}"
            return Prompt([], form, "unreadable_prompt", detail)
        if placeholder := _PLACEHOLDER.search(text):
            return Prompt([], form, "image_prompt", f"{label} contains {placeholder[0]}")
        messages.append({"role": role, "content": text})
    return _finish(messages, form, last)


def _finish(messages: Messages, form: str, last: str) -> Prompt:
    """Handle trailing assistant messages."""
    answers: Messages = []
    while messages and messages[-1]["role"] == "assistant":
        answers.insert(0, messages.pop())
    if not messages or messages[-1]["role"] == "system" or not messages[-1]["content"].strip():
        return Prompt([], form, "empty_prompt", "no user message to answer")
    if answers and last == "prefill":
        if len(answers) > 1 or not answers[0]["content"]:
            detail = "the last assistant turn is empty or has several messages"
            return Prompt([], form, "unreadable_prompt", detail)
        return Prompt(messages + answers, form + ", last assistant message starts the answer")
    return Prompt(messages, form + (", last assistant message dropped" if answers else ""))


def _content(content: Any) -> tuple[str | None, str]:
    """Read a message's content, text or text parts; return (text, type of a non-text part)."""
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


def split_prefill(messages: Messages) -> tuple[Messages, str]:
    """Split off the start of the assistant's turn; an empty string if there is none.

    Example:
        >>> chat = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "It is"}]
        >>> split_prefill(chat)
        ([{'role': 'user', 'content': '1+1?'}], 'It is')
    """
    if messages[-1]["role"] != "assistant":
        return messages, ""
    return messages[:-1], messages[-1]["content"]


def question_of(messages: Messages) -> str:
    """Return the question: the last message before the assistant's turn."""
    return split_prefill(messages)[0][-1]["content"]


#: First bytes of image files (PNG, JPEG, GIF, WebP) and of audio and video files (WAV, AVI).
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")
#: Names of columns with media.
_MEDIA = {f"{name}{s}" for name in ("image", "video", "audio", "decoded_image") for s in ("", "s")}


def media_column(row: Mapping[str, Any]) -> str | None:
    """Return the name of a row's column with an image, video or audio; None without one.

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
    """Return whether a value is an image's bytes, or an object or list with an image's bytes."""
    if isinstance(content, list) and content:
        content = content[0]
    if isinstance(content, Mapping):
        content = content.get("bytes")
    return isinstance(content, bytes) and content.startswith(_IMAGES)
