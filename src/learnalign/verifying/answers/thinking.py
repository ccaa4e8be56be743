"""Removing a reasoning model's thinking block; the answer must follow it."""

import re

_TAGS = "(?:seed:)?think|thinking|thought|reasoning"
_OPEN = re.compile(
    rf"<({_TAGS})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>analysis<\|message\|>",
    re.IGNORECASE,
)
_CLOSE = re.compile(
    rf"</\s*({_TAGS})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)


def after_thinking(completion: str, *, prompt: str = "", unfinished: bool = False) -> str | None:
    r"""Return the text after the last closed thinking block.

    Args:
        completion: A model's text; returned unchanged if it has no thinking block.
        prompt: The model's prompt. Some chat templates open the block in it.
        unfinished: Whether the answer may be in an unclosed thinking block.

    Returns:
        The text; None if the thinking was not finished.

    Example:
        >>> after_thinking("<think>3? no, 4</think> It is 4.")
        ' It is 4.'
        >>> after_thinking("<think>3? no") is None, after_thinking("3? no", prompt="?<think>\n")
        (True, None)
        >>> after_thinking("<think>3? no", unfinished=True)
        '<think>3? no'
    """
    ends = [match.end() for match in _CLOSE.finditer(completion)]
    rest = completion[ends[-1] :] if ends else completion
    is_open = _OPEN.search(rest) or (not ends and opened(prompt))
    return rest if unfinished or not is_open else None


def opened(prompt: str) -> bool:
    r"""Return whether a prompt ends by opening a thinking block.

    Example:
        >>> opened("2 + 2?<think>\n"), opened("2 + 2?<think>\n\n</think>\n")
        (True, False)
    """
    end = prompt.rstrip()[-100:]
    return any(match.end() == len(end) for match in _OPEN.finditer(end))
