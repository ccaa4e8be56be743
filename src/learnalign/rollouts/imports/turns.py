"""Find the user's last turn in a prompt: in messages, also as JSON text, or in a rendered chat."""

import re
from typing import Any

from learnalign.problems.nested import parsed
from learnalign.rollouts.imports.values import is_message_list, text_of

#: The beginning of a turn in the templates of Qwen, SmolLM and others (ChatML), Llama 3, Gemma,
#: Phi and Zephyr, DeepSeek, GLM, and gpt-oss; the role is a group.
_TURNS = (
    re.compile(r"<\|im_start\|>(\w+)\n"),
    re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\s*"),
    re.compile(r"<start_of_turn>(\w+)\n"),
    re.compile(r"<\|(system|user|assistant)\|>\s*"),
    re.compile(r"<\uff5c(User|Assistant)\uff5c>"),
    re.compile(r"<\|start\|>(\w+)<\|message\|>"),
    # What is left of ChatML and Gemma without special tokens, as verl writes it.
    re.compile(r"(?:\A|(?<=\n))(system|user|assistant|model)\n"),
)
#: The user's turn in the templates of Mistral and Llama 2.
_INSTRUCTION = re.compile(r"\[INST\](.*?)(?:\[/INST\]|\Z)", re.DOTALL)
_END = re.compile(
    r"<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|end\|>|</s>|<\uff5cend\u2581of\u2581sentence\uff5c>|<\|endoftext\|>"
)
_SYSTEM = re.compile(r"<<SYS>>.*?<</SYS>>", re.DOTALL)


def texts_of(content: Any) -> tuple[str, ...]:
    r"""Return the texts that may be the whole prompt or the question in it.

    Args:
        content: A text, or chat messages, also as JSON text. Of messages, it is the last user's
            turn: answers may follow it.

    Example:
        >>> texts_of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}])
        ('2+2?',)
        >>> texts_of("<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n")[1:]
        ('2+2?',)
    """  # noqa: E501
    chat = _chat(content)
    if chat is not None:
        text = text_of(chat[_last_user(chat)])
        return () if text is None else (text,)
    if not isinstance(content, str):
        return ()
    question = last_user_turn(content)
    return (content,) if question is None else (content, question)


def context_of(content: Any) -> tuple[str, ...]:
    """Return the texts of chat messages before the last user's: a system message, earlier turns.

    Example:
        >>> context_of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}])
        ('Be brief.',)
        >>> context_of("2+2?")
        ()
    """  # noqa: E501
    chat = _chat(content) or []
    texts = (text_of(message) for message in chat[: _last_user(chat)])
    return tuple(text.strip() for text in texts if text and text.strip())


def _chat(content: Any) -> list[Any] | None:
    """Return chat messages, which may be JSON text; None for anything else."""
    if isinstance(content, str) and ('"role"' in content or "'role'" in content):
        content = parsed(content)
    return content if is_message_list(content) else None


def _last_user(chat: list[Any]) -> int:
    """Return the place of the last user's message; of the last one, without any."""
    users = [i for i, message in enumerate(chat) if message.get("role") in ("user", "human")]
    return (users or [len(chat) - 1])[-1]


def is_rendered_chat(prompt: str) -> bool:
    """Return whether a prompt is a chat of a known template, so that its messages are in it."""
    return last_user_turn(prompt) is not None


def last_user_turn(prompt: str) -> str | None:
    r"""Return the text of the user's last turn in a rendered chat; None if it is none.

    Example:
        >>> last_user_turn("system\nBe brief.\nuser\n2+2?\nassistant\n")
        '2+2?'
        >>> last_user_turn("<s>[INST] <<SYS>>Be brief.<</SYS>> 2+2? [/INST]")
        '2+2?'
        >>> last_user_turn("2+2?") is None
        True
    """
    for turn in _TURNS:
        begins = list(turn.finditer(prompt))
        users = [i for i, begin in enumerate(begins) if begin[1].lower() == "user"]
        if not users or begins[users[-1]] is begins[-1]:
            continue  # no turn of a user that the assistant is to answer
        after = begins[users[-1] + 1].start()
        return _END.split(prompt[begins[users[-1]].end() : after])[0].strip()
    instructions = _INSTRUCTION.findall(prompt)
    return _SYSTEM.sub("", instructions[-1]).strip() if instructions else None
