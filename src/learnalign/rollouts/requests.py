"""What is asked for one rollout, and the ways to put it: servers differ in what they take."""

from dataclasses import dataclass
from itertools import product
from typing import Any

from learnalign.config import ServerConfig

#: Larger than any vocabulary. 0 and -1 mean "all" to some servers and are refused by others.
_ALL_TOKENS = 2**20


@dataclass(frozen=True)
class Request:
    """What is asked for one rollout."""

    prompt: str
    prompt_ids: list[int]
    messages: list[dict[str, str]] | None
    """For the chat API, in place of the prompt."""
    options: dict[str, Any]
    """seed, max_tokens, temperature, top_p and, if there are any, stop and chat_template_kwargs."""


@dataclass(frozen=True)
class Way:
    """How a server is asked."""

    extras: bool
    """With the fields that OpenAI's own API does not have."""
    logprobs: bool
    ids: bool
    """With the prompt as token ids, not as text."""


def ways(config: ServerConfig) -> list[Way]:
    """List the ways to ask, the one that tells most first.

    Example:
        >>> [way.ids for way in ways(ServerConfig(logprobs=False))]
        [True, False, True, False]
        >>> len(ways(ServerConfig(api="chat")))
        4
    """
    return [
        Way(extras, logprobs, ids)
        for extras, logprobs, ids in product([True, False], repeat=3)
        if (ids or config.api == "completions") and (config.logprobs or not logprobs)
    ]


def body(request: Request, way: Way, model: str) -> dict[str, Any]:
    """Give a request's fields, as the client of OpenAI takes them.

    Servers have defaults of their own for what OpenAI's API does not have, or take them from the
    model's files: each is set to what changes nothing. All goes where the client lets it through
    as it is; elsewhere it looks at each token, which takes longer than the rest of a request.

    Example:
        >>> request = Request("2+2=", [34, 27], None, {"seed": 7, "max_tokens": 8})
        >>> fields = body(request, Way(extras=True, logprobs=False, ids=True), "m")
        >>> said = fields["extra_body"]
        >>> said["prompt"], said["seed"], said["repetition_penalty"]
        ([34, 27], 7, 1.0)
    """
    fields = dict(request.options)
    if way.extras:
        fields |= {"top_k": _ALL_TOKENS, "min_p": 0.0}
        fields |= {"repetition_penalty": 1.0, "repeat_penalty": 1.0}
        fields |= {"return_token_ids": True}
    if request.messages is not None:
        fields |= {"messages": request.messages}
        fields |= {"logprobs": True, "top_logprobs": 1} if way.logprobs else {}
        fields |= {"return_prompt_token_ids": True} if way.extras else {}
        return {"model": model, "messages": [], "extra_body": fields}
    fields |= {"prompt": request.prompt_ids if way.ids else request.prompt}
    fields |= {"logprobs": 1} if way.logprobs else {}
    # The text holds the special tokens already.
    fields |= {"add_special_tokens": False} if way.extras and not way.ids else {}
    return {"model": model, "prompt": "", "extra_body": fields}
