"""Text after a reasoning model's thinking block, the only place for its answer."""

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
        completion: Text of a model; without any such block it is given back whole.
        prompt: What the model saw. Some chat templates open the block there.
        unfinished: Whether thinking that was never closed may hold the answer too.

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
    ends = [found.end() for found in _CLOSE.finditer(completion)]
    rest = completion[ends[-1] :] if ends else completion
    open_now = _OPEN.search(rest) or (not ends and opened(prompt))
    return rest if unfinished or not open_now else None


def opened(prompt: str) -> bool:
    r"""Return whether a prompt ends by opening a thinking block.

    Example:
        >>> opened("2 + 2?<think>\n"), opened("2 + 2?<think>\n\n</think>\n")
        (True, False)
    """
    end = prompt.rstrip()[-100:]
    return any(found.end() == len(end) for found in _OPEN.finditer(end))
