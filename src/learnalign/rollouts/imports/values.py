"""Parse single values of recorded rows: completion, reward, tokens."""

from collections.abc import Mapping
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.problems.nested import parsed

#: Columns of rewards, the first that is there.
REWARDS = (
    *("recorded_reward", "reward", "rewards", "score", "scores"),
    *("is_correct", "correct"),
)
_WORDS = {
    **dict.fromkeys(("true", "correct", "right", "yes", "pass", "passed"), 1.0),
    **dict.fromkeys(("false", "incorrect", "wrong", "no", "fail", "failed"), 0.0),
}


def is_message_list(content: Any) -> bool:
    """Return whether a list contains chat messages, or the parts of one message."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], Mapping)


def is_multi_turn(content: Any) -> bool:
    """Return whether a completion is more than one response: several turns, or calls of tools.

    Messages before the only response are the prompt's.

    Example:
        >>> said = {"role": "assistant", "content": "4"}
        >>> is_multi_turn([{"role": "user", "content": "2+2?"}, said])
        False
        >>> is_multi_turn([said, {"role": "user", "content": "Sure?"}])
        True
    """
    messages = [content] if isinstance(content, Mapping) else content
    if not is_message_list(messages) or not any("role" in message for message in messages):
        return False
    responses = [message for message in messages if message.get("role") == "assistant"]
    uses_tools = any(
        message.get("role") in ("tool", "function")
        or message.get("tool_calls")
        or message.get("function_call")
        for message in messages
    )
    return uses_tools or len(responses) > 1 or messages[-1].get("role") != "assistant"


def reasons_apart(content: Any) -> bool:
    """Return whether the message of a completion has its thinking in another field than its text.

    Example:
        >>> reasons_apart([{"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}])
        True
    """
    message = content[-1] if is_message_list(content) else content
    names = ("reasoning_content", "reasoning", "thinking")
    thoughts = [message.get(name) for name in names] if isinstance(message, Mapping) else []
    return any(isinstance(thought, str) and thought.strip() for thought in thoughts)


def completion_of(content: Any, location: str) -> str | None:
    """Return the text of a completion that is one response; None if there is none."""
    if is_message_list(content) and "role" in content[0]:
        content = content[-1]
    if content is None:
        return None
    if isinstance(content, int | float) and not isinstance(content, bool):
        return str(content)
    if isinstance(content, str | Mapping) or is_message_list(content):
        return text_of(content)
    raise LearnAlignError(
        f"{location}: the completion is {content!r}",
        expected="text, a chat message, or a list of messages",
        do="correct the row",
    )


def text_of(content: Any) -> str | None:
    """Return the text of a message, of its parts, or the text itself."""
    if isinstance(content, Mapping):
        content = content.get("content", content.get("text"))
    if isinstance(content, list):
        parts: list[Any] = [p.get("text") if isinstance(p, Mapping) else p for p in content]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else None
    return content if isinstance(content, str) else None


def reward_of(content: Any, location: str) -> float | None:
    """Parse a reward: a number (as text, or alone in a list or object, too), or a verdict.

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
    if isinstance(inner, str) and not inner.strip():
        return None
    if isinstance(inner, str):
        word = inner.strip().lower()
        try:
            inner = _WORDS[word] if word in _WORDS else float(word)
        except ValueError:
            inner = content
    if inner is None or isinstance(inner, int | float):
        return None if inner is None else float(inner)
    remedy = "write one number per completion"
    if isinstance(content, Mapping):
        remedy = "name the one to use: --set rollouts.recorded_reward=COLUMN.NAME"
    raise LearnAlignError(
        f"{location}: the reward is {content!r}",
        expected="a number, 'correct' or 'wrong'",
        do=remedy,
    )


def number_of(content: Any) -> float | None:
    """Return a number, which a CSV file has as text; None for anything else.

    Example:
        >>> number_of("10"), number_of(2), number_of("ten"), number_of(True), number_of("")
        (10.0, 2.0, None, None, None)
    """
    if isinstance(content, str):
        try:
            return float(content)
        except ValueError:
            return None
    is_number = isinstance(content, int | float) and not isinstance(content, bool)
    return float(content) if is_number else None


def list_of(content: Any) -> Any:
    """Return a list that a CSV file has as JSON text; anything else as it is.

    Example:
        >>> list_of("[1, 2]"), list_of("[1, 2"), list_of([1])
        ([1, 2], '[1, 2', [1])
    """
    found = parsed(content) if isinstance(content, str) else None
    return found if isinstance(found, list) else content


def exact_of(row: Mapping[str, Any], location: str) -> tuple[list[int] | None, list[float] | None]:
    """Return the token ids and their log-probabilities."""
    ids = tokens_of(row["token_ids"], location, "token_ids")
    logprobs = list_of(row.get("logprobs"))
    if logprobs is None or ids is None:
        return None if ids is None else list(ids), None
    if not isinstance(logprobs, list) or len(logprobs) != len(ids):
        count = len(logprobs) if isinstance(logprobs, list) else 1
        raise LearnAlignError(
            f"{location}: {len(ids)} token_ids and {count} logprobs",
            expected="one logprob per token id",
            do="correct the row, or leave logprobs out",
        )
    return list(ids), None if None in logprobs else [float(number) for number in logprobs]


def tokens_of(content: Any, location: str, name: str) -> tuple[int, ...] | None:
    """Validate a list of token ids; None stays None."""
    if content is None or content == "":
        return None
    content = invalid = list_of(content)
    if isinstance(content, list):
        invalid = next((t for t in content if type(t) is not int or t < 0), None)
        if invalid is None:
            return tuple(content)
    raise LearnAlignError(
        f"{location}: {name} contains {invalid!r}",
        expected="a list of token ids",
        do="correct the row",
    )
