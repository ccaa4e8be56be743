"""Single values of recorded rows: what was said, what it earned, which tokens it was."""

from collections.abc import Mapping
from typing import Any

from learnalign.errors import LearnAlignError

_WORDS = {
    **dict.fromkeys(("true", "correct", "right", "yes", "pass", "passed"), 1.0),
    **dict.fromkeys(("false", "incorrect", "wrong", "no", "fail", "failed"), 0.0),
}


def is_message_list(content: Any) -> bool:
    """Say whether a list holds chat messages, or the parts of one message."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], Mapping)


def completion_of(content: Any, place: str) -> str | None:
    """Give what was said; None if there is nothing, or more than one turn."""
    if is_message_list(content) and "role" in content[0]:
        said = [message for message in content if message.get("role") == "assistant"]
        content = None if len(said) > 1 else content[-1]
    if content is None:
        return None
    if isinstance(content, int | float) and not isinstance(content, bool):
        return str(content)
    if isinstance(content, str | Mapping) or is_message_list(content):
        text = text_of(content)
        if text is None or text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text):
            return text
        content = text[:80]  # no tokenizer takes half a character
    raise LearnAlignError(
        f"{place}: the completion is {content!r}",
        expected="text of whole characters, a chat message, or a list of them",
        do="correct the row",
    )


def text_of(content: Any) -> str | None:
    """Give the text of a message, of its parts, or text itself."""
    if isinstance(content, Mapping):
        content = content.get("content", content.get("text"))
    if isinstance(content, list):
        parts: list[Any] = [p.get("text") if isinstance(p, Mapping) else p for p in content]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else None
    return content if isinstance(content, str) else None


def reward_of(content: Any, place: str) -> float | None:
    """Read a reward: a number (also as text, in a list or in an object of one), or a verdict.

    Example:
        >>> reward_of([1.0], "x"), reward_of("wrong", "x"), reward_of({"score": 1, "acc": 0}, "x")
        (1.0, 0.0, 1.0)
    """
    if isinstance(content, Mapping):
        names = [name for name in ("score", "reward") if name in content] or list(content)
        inner: Any = content[names[0]] if len(names) == 1 else content
    else:
        inner = content
    if isinstance(inner, list) and len(inner) == 1:
        inner = inner[0]
    if isinstance(inner, str):
        word = inner.strip().lower()
        try:
            inner = _WORDS[word] if word in _WORDS else float(word)
        except ValueError:
            inner = content
    if inner is None or isinstance(inner, int | float):
        return None if inner is None else float(inner)
    remedy = "write one number a completion"
    if isinstance(content, Mapping):
        remedy = "name the one that counts: --set rollouts.recorded_reward=COLUMN.NAME"
    raise LearnAlignError(
        f"{place}: the reward is {content!r}", expected="a number, or correct or wrong", do=remedy
    )


def exact_of(row: Mapping[str, Any], place: str) -> tuple[list[int] | None, list[float] | None]:
    """Give the token ids and their log-probabilities."""
    ids = tokens_of(row["token_ids"], place, "token_ids")
    logprobs = row.get("logprobs")
    if logprobs is None or ids is None:
        return None if ids is None else list(ids), None
    if not isinstance(logprobs, list) or len(logprobs) != len(ids):
        count = len(logprobs) if isinstance(logprobs, list) else 1
        raise LearnAlignError(
            f"{place}: {len(ids)} token_ids and {count} logprobs",
            expected="as many of one as of the other",
            do="correct the row, or leave logprobs out",
        )
    return list(ids), None if None in logprobs else [float(number) for number in logprobs]


def tokens_of(content: Any, place: str, name: str) -> tuple[int, ...] | None:
    """Give a list of token ids, checked; None stays None."""
    if content is None:
        return None
    wrong: Any = content
    if isinstance(content, list):
        wrong = next((t for t in content if type(t) is not int or t < 0), None)
        if wrong is None:
            return tuple(content)
    raise LearnAlignError(
        f"{place}: {name} holds {wrong!r}", expected="a list of token ids", do="correct the row"
    )
