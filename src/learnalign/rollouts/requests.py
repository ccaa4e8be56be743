"""Requests for one rollout, in several variants: servers differ in the fields they accept."""

from dataclasses import dataclass
from itertools import product
from typing import Any

from learnalign.config import ServerConfig

#: Larger than any vocabulary. Some servers read 0 or -1 as "all"; others reject them.
_ALL_TOKENS = 2**20


@dataclass(frozen=True)
class Request:
    """The content of a request for one rollout."""

    prompt: str
    prompt_ids: list[int]
    messages: list[dict[str, str]] | None
    """For the chat API, instead of the prompt."""
    options: dict[str, Any]
    """seed, max_tokens, temperature, top_p and, if set, stop and chat_template_kwargs."""


@dataclass(frozen=True)
class RequestVariant:
    """Which optional fields a request has."""

    extras: bool
    """Fields that OpenAI's own API does not have."""
    logprobs: bool
    ids: bool
    """The prompt as token ids instead of text."""


def request_variants(config: ServerConfig) -> list[RequestVariant]:
    """List the variants of a request, the most informative one first.

    Example:
        >>> [variant.ids for variant in request_variants(ServerConfig(logprobs=False))]
        [True, False, True, False]
        >>> len(request_variants(ServerConfig(api="chat")))
        4
    """
    return [
        RequestVariant(extras, logprobs, ids)
        for extras, logprobs, ids in product([True, False], repeat=3)
        if (ids or config.api == "completions") and (config.logprobs or not logprobs)
    ]


def body(request: Request, variant: RequestVariant, model: str) -> dict[str, Any]:
    """Return a request's fields as arguments of OpenAI's client.

    Servers have their own defaults for fields that OpenAI's API lacks, or read them from the
    model's files: each is set to its neutral value. All fields go into ``extra_body``, which the
    client passes through; elsewhere it checks each token, which takes longer than the request.

    Example:
        >>> request = Request("2+2=", [34, 27], None, {"seed": 7, "max_tokens": 8})
        >>> fields = body(request, RequestVariant(extras=True, logprobs=False, ids=True), "m")
        >>> sent = fields["extra_body"]
        >>> sent["prompt"], sent["seed"], sent["repetition_penalty"]
        ([34, 27], 7, 1.0)
    """
    fields = dict(request.options)
    if variant.extras:
        fields |= {"top_k": _ALL_TOKENS, "min_p": 0.0}
        fields |= {"repetition_penalty": 1.0, "repeat_penalty": 1.0}
        fields |= {"return_token_ids": True}
    if request.messages is not None:
        fields |= {"messages": request.messages}
        fields |= {"logprobs": True, "top_logprobs": 1} if variant.logprobs else {}
        fields |= {"return_prompt_token_ids": True} if variant.extras else {}
        return {"model": model, "messages": [], "extra_body": fields}
    fields |= {"prompt": request.prompt_ids if variant.ids else request.prompt}
    fields |= {"logprobs": 1} if variant.logprobs else {}
    # The text already contains the special tokens.
    fields |= {"add_special_tokens": False} if variant.extras and not variant.ids else {}
    return {"model": model, "prompt": "", "extra_body": fields}
