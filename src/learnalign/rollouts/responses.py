"""Convert a server's answers to ROLLOUTS rows, with the sampled tokens as far as it reports them.

Servers report the tokens in three ways: by their ids (vLLM and SGLang with ``return_token_ids``;
llama.cpp's own server in its log-probabilities), by their pieces of text (llama-cpp-python and
other servers with log-probabilities), or not at all.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from learnalign.config import RolloutConfig
from learnalign.rollouts.endings import Endings

_FINISHES = {"stop": "stop", "length": "length", "eos_token": "stop", "stop_sequence": "stop"}


@dataclass(frozen=True)
class Answer:
    """One rollout as the server reported it."""

    text: str
    finish_reason: str
    """``stop`` or ``length``."""
    token_ids: list[int] | None = None
    pieces: list[str] | None = None
    """The tokens' texts, if there are no ids."""
    logprobs: list[float] | None = None
    """One per token, at temperature 1."""
    ended_by: Literal["token", "string"] | int | None = None
    """The end token (its id, if known) or a stop string; None if unknown."""
    num_tokens: int | None = None
    num_prompt_tokens: int | None = None
    prompt_ids: list[int] | None = None
    """The prompt's tokens on the server, if it reports them."""


def read_answer(body: Mapping[str, Any]) -> Answer:
    """Parse an answer of ``/v1/completions`` or ``/v1/chat/completions``.

    Raises:
        ValueError: if the answer has another form.

    Example:
        >>> choice = {"text": " 4", "finish_reason": "stop", "stop_reason": None}
        >>> answer = read_answer({"choices": [choice | {"token_ids": [216, 36, 2]}]})
        >>> answer.token_ids, answer.ended_by
        ([216, 36, 2], 'token')
    """
    try:
        choice = body["choices"][0]
        message = choice.get("message")
        text = choice["text"] if message is None else message["content"] or ""
        finish = _FINISHES[choice["finish_reason"]]
        usage = body.get("usage") or {}
        ids, pieces, logprobs = _tokens(choice, usage.get("completion_tokens"))
        prompt_ids = choice.get("prompt_token_ids") or body.get("prompt_token_ids")
        return Answer(
            text=str(text),
            finish_reason=finish,
            token_ids=ids,
            pieces=pieces,
            logprobs=logprobs,
            ended_by=_ended_by(choice, finish, ids),
            num_tokens=usage.get("completion_tokens"),
            num_prompt_tokens=usage.get("prompt_tokens"),
            prompt_ids=None if prompt_ids is None else [int(i) for i in prompt_ids],
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


class Rows:
    """Converts answers to ROLLOUTS rows, and counts the inexact ones.

    Args:
        tokenizer: Tokenizer of the model whose gradients are computed.
        config: Temperature, stop strings, the longest response.
        endings: The tokens that end a response.
    """

    def __init__(
        self, tokenizer: Any, config: RolloutConfig, endings: Endings | None = None
    ) -> None:
        self.tokenizer, self.config = tokenizer, config
        self.endings = endings or Endings(tokenizer)
        self.special = set(tokenizer.all_special_ids)
        self.counts: Counter[str] = Counter()
        """``sampled``: all rows; ``retokenised``: those whose tokens the server did not report
        exactly; ``other_prompts``: those whose prompt has a different number of tokens there."""

    def row(
        self, problem_id: str, sample: int, answer: Answer, prompt: list[int]
    ) -> dict[str, Any]:
        """Convert one answer to a row."""
        ids = (
            self._reported(answer)
            if answer.token_ids is not None
            else self._from_pieces(answer, prompt)
        )
        text = None if ids is None else self._text(ids)
        self.counts["sampled"] += 1
        if answer.num_prompt_tokens not in (None, len(prompt)):
            self.counts["other_prompts"] += 1
        if ids is None or self._lacks_end(ids, answer):
            self.counts["retokenised"] += 1
        if ids is None:
            ids = self._tokenise(answer, prompt)
        logprobs = answer.logprobs if self.config.temperature in (0.0, 1.0) else None
        return {
            "problem_id": problem_id,
            "sample": sample,
            "completion": _cut(answer.text, self.config.stop) if text is None else text,
            "token_ids": ids,
            "logprobs": logprobs if logprobs and len(logprobs) == len(ids) else None,
            "finish_reason": answer.finish_reason,
        }

    def _reported(self, answer: Answer) -> list[int]:
        """Return the server's ids, with the end token that some servers leave out."""
        ids = list(answer.token_ids or [])
        end = answer.ended_by
        return [*ids, end] if isinstance(end, int) and ids[-1:] != [end] else ids

    def _from_pieces(self, answer: Answer, prompt: list[int]) -> list[int] | None:
        """Find the tokens that the pieces of text represent; None if this is ambiguous."""
        if answer.pieces is None or answer.num_tokens not in (None, len(answer.pieces)):
            return None
        known = (self._id_of_piece.get(piece) for piece in answer.pieces)
        ids = [i for i in known if i is not None]
        if len(ids) < len(answer.pieces) or self._text(ids) != answer.text:
            return None
        if answer.finish_reason == "stop" and not self.special & set(ids[-1:]):
            whole = self._decode(ids)
            if answer.ended_by == "token" or not any(stop in whole for stop in self.config.stop):
                ids += self._end(prompt)
        return ids

    def _tokenise(self, answer: Answer, prompt: list[int]) -> list[int]:
        """Tokenise the text, and append the end token if the response must have ended with it."""
        ids = self.tokenizer(answer.text, add_special_tokens=False)["input_ids"]
        most = self.config.max_tokens
        ended = answer.ended_by == "token" or isinstance(answer.ended_by, int)
        if answer.finish_reason == "stop" and (ended or not self.config.stop):
            return [*ids[: most - 1], *self._end(prompt)]
        return list(ids[:most])

    def _end(self, prompt: list[int]) -> list[int]:
        """Return the token that ends a response to the prompt as a list; empty if there is none."""
        end = self.endings.after(prompt)
        return [] if end is None else [end]

    def _lacks_end(self, ids: list[int], answer: Answer) -> bool:
        """Return whether the response was ended by something that is not among its tokens."""
        if answer.finish_reason != "stop" or answer.ended_by is not None:
            return False
        whole = self._decode(ids)
        return not self.special & set(ids[-1:]) and not any(s in whole for s in self.config.stop)

    @cached_property
    def _id_of_piece(self) -> dict[str, int]:
        """The token of each piece of text that exactly one token decodes to."""
        count = len(self.tokenizer)
        texts = self.tokenizer.batch_decode([[i] for i in range(count)])
        counts = Counter(texts)
        return {text: i for i, text in enumerate(texts) if counts[text] == 1}

    def _text(self, ids: list[int]) -> str:
        return _cut(self._decode(ids), self.config.stop)

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))


def warnings(counts: Mapping[str, int]) -> list[str]:
    """Return warnings about rollouts that a server sampled.

    Example:
        >>> warnings({"sampled": 4096, "retokenised": 512})[0].split(":")[0]
        '512 of 4,096 rollouts were tokenised again from text'
    """
    texts = {
        "retokenised": "were tokenised again from text: their token boundaries may differ "
        "from what was sampled (docs/guides/servers.md)",
        "other_prompts": "had a prompt with a different number of tokens on the server: its "
        "template or tokenizer is not the model's (docs/guides/servers.md)",
        "ungoverned": "came from a server that rejects top_k, min_p and repetition_penalty: it may "
        "use its own defaults (docs/guides/servers.md)",
    }
    return [
        f"{counts[name]:,} of {counts.get('sampled', 0):,} rollouts {text}"
        for name, text in texts.items()
        if counts.get(name)
    ]


def _tokens(
    choice: Mapping[str, Any], num_tokens: int | None
) -> tuple[list[int] | None, list[str] | None, list[float] | None]:
    """Find a choice's token ids, pieces of text and log-probabilities in the known formats."""
    pieces: list[Any] | None
    logprobs: list[Any] | None
    ids, reported = choice.get("token_ids"), choice.get("logprobs") or {}
    content = reported.get("content")
    if content is not None:
        pieces, logprobs = [t["token"] for t in content], [t["logprob"] for t in content]
        # llama.cpp leaves out the tokens of a stop string, and partial characters.
        whole = num_tokens in (None, len(content))
        if ids is None and content and whole and all("id" in token for token in content):
            ids = [token["id"] for token in content]
    else:
        pieces, logprobs = reported.get("tokens"), reported.get("token_logprobs")
    if logprobs is not None:
        logprobs = None if None in logprobs else [float(value) for value in logprobs]
    if ids is not None:
        return [int(i) for i in ids], None, logprobs
    return None, None if pieces is None else [str(piece) for piece in pieces], logprobs


def _ended_by(
    choice: Mapping[str, Any], finish: str, ids: list[int] | None
) -> Literal["token", "string"] | int | None:
    """Return what ended a response: vLLM has a ``stop_reason``, SGLang a ``matched_stop``."""
    reason = choice.get("stop_reason", choice.get("matched_stop"))
    if finish != "stop" or isinstance(reason, int):
        return reason if finish == "stop" else None
    if isinstance(reason, str):
        return "string"
    # vLLM reports null for the end token, which is among its ids.
    return "token" if "stop_reason" in choice and ids is not None else None


def _cut(text: str, stops: tuple[str, ...]) -> str:
    """Cut a text before its first stop string."""
    positions = [text.find(stop) for stop in stops if stop in text]
    return text[: min(positions)] if positions else text
