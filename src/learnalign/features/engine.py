"""The feature stage: a few forward passes per problem, no sampling; one row per problem out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.features.forward import Forward
from learnalign.features.selectit import (
    RATING_PROMPTS,
    rating_text,
    score_ids,
    sentence_rating,
    token_rating,
)
from learnalign.problems.chats import question_of
from learnalign.storage.sketch_column import to_column
from learnalign.tables import features_schema, golds

Floats = NDArray[np.float64]

#: Problems between two progress reports; texts of similar length in a block share batches.
_BLOCK = 128


class FeatureEngine:
    """Computes the features that the data-selection baselines rank by, with a loaded model.

    A forward pass over prompt and gold answer yields the prompt's perplexity, the hidden state at
    its end (feature similarity) and the answer's loss; one over the answer alone yields the
    denominator of IFD; M passes over rating prompts yield SelectIT's rating.

    IFD (Li et al., arXiv 2308.12032) is s(A|Q) / s(A), where s is the mean loss of the answer's
    tokens: the ratio of ``answer_nll`` to ``answer_alone_nll``, not of perplexities. In the paper A
    is a whole response; RLVR has a bare gold answer, often one or two tokens, so the losses are
    noisier and depend more on the answer's form. Its tokens are the same in both passes and follow
    the prompt as a response would. Without the prompt they follow the BOS token (EOS if there is
    none), where the authors' code has the words that introduce a response.

    Args:
        model: A causal language model of transformers, on its device; put into evaluation mode.
        tokenizer: Its tokenizer.
        ratings: Also compute SelectIT's rating, with M more passes per problem.
        token_budget: Tokens per batch, padding included; the device's most efficient number if
            None.
        template_kwargs: Variables of the chat template for the rating prompts.

    Raises:
        LearnAlignError: if ratings are requested and a score is not a single token.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        ratings: bool = False,
        token_budget: int | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.template_kwargs = template_kwargs
        self.forward = Forward(model, token_budget=token_budget)
        self.schema = features_schema(self.forward.width)
        text = model.config.get_text_config()
        self.context = int(getattr(text, "max_position_embeddings", 0) or 0) or 1 << 30
        starts = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        self.start = [i for i in starts if i is not None][:1]
        self.score_ids: list[list[int]] = []
        if ratings:
            before = rating_text(tokenizer, RATING_PROMPTS[0], "", "", template_kwargs)
            self.score_ids = score_ids(tokenizer, before)

    def table(self, problems: pa.Table, progress: Callable[[int], None] | None = None) -> pa.Table:
        """Compute one row per problem.

        Args:
            problems: PROBLEMS table with ``prompt_ids`` shorter than the model's context. The
                rating is that of the last message.
            progress: Called with the number of problems just finished.

        Returns:
            Table of `features_schema`, in the order of ``problems``. Both losses of an empty answer
            are null; so is ``answer_alone_nll`` of a one-token answer without BOS and EOS.

        Raises:
            LearnAlignError: if a single text does not fit in a CUDA device's memory.
        """
        self.model.eval()  # a trainer may have changed the mode of some layers
        blocks = [self.schema.empty_table()]
        for start in range(0, problems.num_rows, _BLOCK):
            block = problems.slice(start, _BLOCK)
            blocks.append(self._block(block))
            if progress is not None:
                progress(block.num_rows)
        return pa.concat_tables(blocks).combine_chunks()

    def _block(self, problems: pa.Table) -> pa.Table:
        """Compute the rows of some problems."""
        prompts: list[list[int]] = problems["prompt_ids"].to_pylist()
        texts = [golds(answer)[0] for answer in problems["answer"].to_pylist()]
        answers: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        ends = [len(prompt) for prompt in prompts]
        sequences = [
            p + a if self._fits(p + a) else p for p, a in zip(prompts, answers, strict=True)
        ]
        losses, hidden = self.forward.read(sequences, [end - 1 for end in ends])
        directions, finite = _directions(hidden)
        columns = {
            "problem_id": problems["problem_id"],
            "num_prompt_tokens": ends,
            "prompt_nll": [_mean(x[: end - 1]) for x, end in zip(losses, ends, strict=True)],
            "answer_nll": [_mean(x[end - 1 :]) for x, end in zip(losses, ends, strict=True)],
            "answer_alone_nll": self._alone(answers),
            "rating": self._ratings(problems) if self.score_ids else [None] * len(ends),
            "hidden": to_column(directions, finite),
        }
        return pa.table(columns, schema=self.schema)

    def _alone(self, answers: list[list[int]]) -> list[float | None]:
        """Compute the mean losses of answers without their prompts."""
        texts = [self.start + answer for answer in answers]
        known = [i for i, text in enumerate(texts) if len(text) > 1 and self._fits(text)]
        losses, _ = self.forward.read([texts[i] for i in known], [0] * len(known))
        means: list[float | None] = [None] * len(answers)
        for i, values in zip(known, losses, strict=True):
            means[i] = _mean(values)
        return means

    def _ratings(self, problems: pa.Table) -> list[float | None]:
        """Rate each problem with every wording of the rating prompt."""
        prompts: list[list[list[int]]] = []
        for messages, answer in zip(
            problems["messages"].to_pylist(), problems["answer"].to_pylist(), strict=True
        ):
            question = question_of(messages)
            gold = golds(answer)[0]
            texts = [
                rating_text(self.tokenizer, wording, question, gold, self.template_kwargs)
                for wording in RATING_PROMPTS
            ]
            prompts.append(self.tokenizer(texts, add_special_tokens=False)["input_ids"])
        known = [i for i, texts in enumerate(prompts) if all(map(self._fits, texts))]
        flat = [text for i in known for text in prompts[i]]
        logits = self.forward.next_logits(flat, [i for ids in self.score_ids for i in ids])
        # Only the scores' shares of the probability matter; the other tokens need no sum.
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        bounds = np.cumsum([0, *(len(ids) for ids in self.score_ids)])[:-1]
        ratings = token_rating(np.add.reduceat(weights, bounds, axis=1))
        combined = sentence_rating(ratings.reshape(len(known), len(RATING_PROMPTS)))
        rows: list[float | None] = [None] * len(prompts)
        for i, rating in zip(known, combined.tolist(), strict=True):
            rows[i] = rating if np.isfinite(rating) else None
        return rows

    def _fits(self, text: list[int]) -> bool:
        return len(text) <= self.context


def _mean(losses: Floats) -> float | None:
    """Return the mean of (t,) losses; None if there are none, or it is not finite."""
    mean = float(losses.mean()) if len(losses) else np.nan
    return mean if np.isfinite(mean) else None


def _directions(hidden: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Normalise (n, H) hidden states; also return (n,) which are finite."""
    finite = np.asarray(np.isfinite(hidden).all(axis=1))
    known = np.where(finite[:, None], hidden, 0.0)
    norms = np.linalg.norm(known, axis=1, keepdims=True)
    return known / np.where(norms > 0.0, norms, 1.0), finite
