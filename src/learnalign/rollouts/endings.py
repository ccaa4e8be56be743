"""The token that ends a response: the turn's end of the chat template, else the tokenizer's eos."""

from collections.abc import Iterable
from typing import Any

from jinja2 import TemplateError

_MARK = "response-0-text"


class Endings:
    """Knows which tokens end a response, and which one does so after a prompt.

    Many tokenizers name an ``eos_token`` that never ends a turn (``<|endoftext|>`` where the chat
    template writes ``<|im_end|>``): a response that is tokenised again must end as the template
    ends it, or the gradient teaches a token that the model never says there.

    Args:
        tokenizer: Of the model whose gradients will be taken.
        chat: Whether the prompts come from the tokenizer's chat template.
        others: End tokens that the model's generation config names.

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
        """Give the token that ends a response to this prompt; None if the model has none.

        A template of the user's own that writes turns itself ends them in the same way.
        """
        if self.turn is not None and (self.chat or self.turn in set(prompt_ids or ())):
            return self.turn
        return self.plain


def turn_end(tokenizer: Any) -> int | None:
    """Find the first special token that the chat template writes behind a response.

    None without a chat template, or where it writes none.
    """
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, TypeError, ValueError, KeyError):
        return None
    _, found, rest = text.rpartition(_MARK)
    if not found:
        return None
    special = set(tokenizer.added_tokens_decoder)
    ids = tokenizer(rest, add_special_tokens=False)["input_ids"]
    return next((token for token in ids if token in special), None)
