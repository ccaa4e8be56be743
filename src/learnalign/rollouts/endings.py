"""The token that ends a response: the chat template's end of turn, else the tokenizer's EOS."""

from collections.abc import Iterable
from typing import Any

from jinja2 import TemplateError

_MARKER = "response-0-text"


class Endings:
    """The tokens that can end a response, and the one that ends it after a given prompt.

    Many tokenizers define an ``eos_token`` that never ends a turn (``<|endoftext|>`` where the chat
    template writes ``<|im_end|>``). A response that is tokenised again must end as the template
    ends it; otherwise the gradient trains a token that the model never generates there.

    Args:
        tokenizer: Tokenizer of the model whose gradients are computed.
        chat: Whether the prompts come from the tokenizer's chat template.
        others: End tokens from the model's generation config.

    Example:
        >>> class Plain:
        ...     eos_token_id, chat_template = 2, None
        >>> Endings(Plain()).after([5, 6]), sorted(Endings(Plain(), others=[7]).all)
        (2, [2, 7])
    """

    def __init__(self, tokenizer: Any, *, chat: bool = True, others: Iterable[int] = ()) -> None:
        others = list(others)
        self.chat = chat
        self.turn = turn_end(tokenizer)
        eos = tokenizer.eos_token_id
        known = [eos, *others, self.turn]
        self.plain: int | None = next((token for token in known if token is not None), None)
        self.all = {token for token in known if token is not None}

    def after(self, prompt_ids: Iterable[int] | None) -> int | None:
        """Return the token that ends a response to this prompt; None if the model has none.

        A prompt from a custom template that contains the end-of-turn token also ends with it.
        """
        if self.turn is not None and (self.chat or self.turn in set(prompt_ids or ())):
            return self.turn
        return self.plain


def turn_end(tokenizer: Any) -> int | None:
    """Find the first special token that the chat template writes after a response.

    Return None if there is no chat template, or if it writes none.
    """
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARKER}]
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, TypeError, ValueError, KeyError):
        return None
    _, marker, rest = text.rpartition(_MARKER)
    if not marker:
        return None
    special = set(tokenizer.added_tokens_decoder)
    ids = tokenizer(rest, add_special_tokens=False)["input_ids"]
    return next((token for token in ids if token in special), None)
