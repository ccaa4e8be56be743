"""The engine ``transformers``: rollouts of any causal language model of transformers.

A batch's prompts run once each; their key-value cache is then repeated for the G samples. Each
sample has its own random stream, and leaves the batch soon after it has finished.

There are two loops with the same results: the one here grows the cache token by token and works
with any model; `fixed_decoding` keeps all shapes, so that a GPU can replay a step as a CUDA graph.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from learnalign.config import RolloutConfig
from learnalign.rollouts.cache import repeat_cache
from learnalign.rollouts.engine import Engine
from learnalign.rollouts.fixed_decoding import FixedDecoder, Prompts, Sampling, can_decode
from learnalign.rollouts.graphs import CaptureError
from learnalign.rollouts.growing import Growing
from learnalign.rollouts.sampling import sample_tokens, uniforms
from learnalign.rollouts.stops import StopStrings
from learnalign.tables import ROLLOUTS
from learnalign.terminal.progress import Advance

#: Rows leave a batch once this share of it has finished.
_COMPACT_SHARE = 0.25
#: Fills masked positions. Any token of the model works; a tokenizer's own pad token may not be one.
_PAD_ID = 0
#: Steps between checks for finished rows on a GPU, where a check makes the CPU wait.
_GPU_STEPS = 8


@dataclass
class _State:
    """A batch while it is decoded; ``alive`` maps its current rows to all rows."""

    cache: Any
    mask: torch.Tensor  # (B, T)
    positions: torch.Tensor  # (B,) of the next token
    alive: torch.Tensor  # (B,)
    done: torch.Tensor  # (B,) booleans

    def keep(self, index: torch.Tensor) -> None:
        """Drop the rows that are not in ``index``."""
        self.cache.batch_select_indices(index)
        self.mask, self.positions = self.mask[index], self.positions[index]
        self.alive, self.done = self.alive[index], self.done[index]


class TransformersEngine(Engine):
    """Samples rollouts with a loaded model.

    Args:
        model: A causal language model of transformers, on its device.
        tokenizer: Its tokenizer; used to decode, and for the end token's id.
        config: G, temperature, top-p, token budget and so on.
        seed: Sample g of a problem depends on (seed, problem_id, g), the prompt and the model.
    """

    def __init__(self, model: Any, tokenizer: Any, config: RolloutConfig, *, seed: int) -> None:
        super().__init__()
        self.model, self.tokenizer, self.config, self.seed = model.eval(), tokenizer, config, seed
        self.device = next(model.parameters()).device
        text = model.config.get_text_config()
        self.context = int(getattr(text, "max_position_embeddings", 0) or 0) or 1 << 30
        self.end_ids = torch.tensor(_end_ids(model, tokenizer), device=self.device)
        self.stops = StopStrings(tokenizer, config.stop)
        self.fixed: FixedDecoder | None = None
        if config.cuda_graphs and self.device.type == "cuda":
            self.fixed = FixedDecoder(model, capture=True)

    def close(self) -> None:
        """Free the CUDA graphs and the memory that they use."""
        if self.fixed is not None:
            self.fixed.release()

    def sample(
        self,
        problems: pa.Table,
        progress: Advance | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Sample the rollouts of each problem.

        Args:
            problems: PROBLEMS table with ``prompt_ids`` shorter than the model's context.
            progress: Called with the number of problems after each batch.
            samples: Which samples of each problem; 0..G-1 by default.

        Returns:
            ROLLOUTS table in the order of ``problems``. A problem with NaN or Inf in its logits is
            left out and added to ``failures``.
        """
        requested = range(self.config.num_rollouts) if samples is None else samples
        self.model.eval()  # a trainer may have changed the mode of some layers
        ids = problems["problem_id"].to_pylist()
        prompts = problems["prompt_ids"].to_pylist()
        groups: dict[str, list[dict[str, Any]]] = {}
        batches = list(self._batches(prompts, len(requested)))
        if self.fixed is not None and batches:
            group, new = len(requested), self.config.max_tokens
            self.fixed.expect([(len(b) * group, len(prompts[b[0]]) + new) for b in batches])
        for batch in batches:
            found = self._decode([ids[i] for i in batch], [prompts[i] for i in batch], requested)
            for i, rollouts in zip(batch, found, strict=True):
                groups[ids[i]] = rollouts
            if progress is not None:
                progress(len(batch))
        rows_in_order = [row for problem_id in ids for row in groups[problem_id]]
        return pa.Table.from_pylist(rows_in_order, schema=ROLLOUTS)

    def _batches(self, prompts: list[list[int]], group: int) -> Iterator[list[int]]:
        """Group problems of similar length, as many as fit the token budget."""
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        while order:
            width = len(prompts[order[0]]) + self.config.max_tokens
            count = max(1, self.config.token_budget // (width * group))
            yield order[:count]
            order = order[count:]

    @torch.inference_mode()
    def _decode(
        self, ids: list[str], prompts: list[list[int]], samples: range
    ) -> list[list[dict[str, Any]]]:
        """Decode a batch of problems until all rows have finished."""
        group, max_tokens = len(samples), self.config.max_tokens
        run = self._run_prompts(prompts)
        streams = np.stack([uniforms(self.seed, i, g, max_tokens) for i in ids for g in samples])
        longest = [min(max_tokens, self.context - len(p)) for p in prompts for _ in range(group)]
        if self.fixed is not None and can_decode(self.model, run.cache):
            growing = self._decode_fixed(self.fixed, run, streams, longest)
            if growing is not None:
                made = growing.tokens, growing.logprobs, growing.lengths, growing.ended
                return self._rows(ids, samples, *made)
        state, logits = self._start(run, group)
        total = len(prompts) * group
        random = torch.from_numpy(streams).to(self.device)
        limits = torch.tensor(longest, device=self.device)
        tokens = torch.full((total, max_tokens), _PAD_ID, dtype=torch.long, device=self.device)
        logprobs = torch.zeros(total, max_tokens, device=self.device)
        lengths = limits.clone()
        ended = torch.zeros(total, dtype=torch.bool, device=self.device)
        check_every = 1 if self.device.type == "cpu" or self.config.stop else _GPU_STEPS
        for step in range(max_tokens):
            token, logprob = sample_tokens(
                logits,
                random[state.alive, step],
                temperature=self.config.temperature,
                top_p=self.config.top_p,
            )
            tokens[state.alive, step], logprobs[state.alive, step] = token, logprob
            stopped = torch.isin(token, self.end_ids) | self._stopped(tokens, state, step)
            new = stopped & ~state.done
            lengths[state.alive] = torch.where(new, step + 1, lengths[state.alive])
            ended[state.alive] |= new
            state.done |= stopped | (step + 1 >= limits[state.alive]) | logprob.isnan()
            if (step + 1) % check_every == 0 or step + 1 == max_tokens:
                if step + 1 == max_tokens or bool(state.done.all()):
                    break
                selects = hasattr(state.cache, "batch_select_indices")
                if selects and float(state.done.float().mean()) >= _COMPACT_SHARE:
                    kept = (~state.done).nonzero()[:, 0]
                    state.keep(kept)
                    token = token[kept]
            logits = self._step(state, token)
        return self._rows(ids, samples, tokens, logprobs, lengths, ended)

    def _decode_fixed(
        self, fixed: FixedDecoder, run: Prompts, streams: NDArray[np.float64], limits: list[int]
    ) -> Growing | None:
        """Decode a batch with fixed shapes; None if the model cannot, which is said once."""
        ends = self.end_ids.cpu().numpy()
        growing = Growing(np.array(limits), self.config.max_tokens, ends, self.stops)
        sampling = Sampling(self.config.temperature, self.config.top_p, self.context)
        try:
            fixed.decode(run, growing, streams, sampling)
        except CaptureError as error:
            fixed.release()
            self.fixed = None
            text = f"rollouts are sampled without CUDA graphs, which is slower: {error}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            return None
        return growing

    def _run_prompts(self, prompts: list[list[int]]) -> Prompts:
        """Run each prompt once."""
        width = max(map(len, prompts))
        inputs = torch.full((len(prompts), width), _PAD_ID)
        mask = torch.zeros(len(prompts), width, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            inputs[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        inputs, mask = inputs.to(self.device), mask.to(self.device)
        output = self.model(
            input_ids=inputs,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        return Prompts(output.past_key_values, mask, output.logits[:, -1])

    def _start(self, run: Prompts, group: int) -> tuple[_State, torch.Tensor]:
        """Repeat the prompts' cache for the group's samples."""
        repeat_cache(run.cache, group)
        mask = run.mask.repeat_interleave(group, 0)
        state = _State(
            cache=run.cache,
            mask=mask,
            positions=mask.sum(-1),
            alive=torch.arange(len(mask), device=self.device),
            done=torch.zeros(len(mask), dtype=torch.bool, device=self.device),
        )
        return state, run.logits.repeat_interleave(group, 0)

    def _step(self, state: _State, token: torch.Tensor) -> torch.Tensor:
        """Run one more token of each row; return the next (B, V) logits."""
        state.mask = torch.nn.functional.pad(state.mask, (0, 1), value=1)
        output = self.model(
            input_ids=token[:, None],
            attention_mask=state.mask,
            # A finished row may stay for some steps beyond the end of the model's context.
            position_ids=state.positions.clamp(max=self.context - 1)[:, None],
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        state.positions = state.positions + 1
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _stopped(self, tokens: torch.Tensor, state: _State, step: int) -> torch.Tensor:
        """Find rows whose text now contains a stop string, which may span several tokens."""
        if not self.config.stop:
            return torch.zeros_like(state.done)
        tail = tokens[state.alive, max(0, step + 1 - self.stops.window) : step + 1].tolist()
        return torch.tensor(self.stops.in_texts(tail), device=self.device)

    def _rows(
        self,
        ids: list[str],
        samples: range,
        tokens: Any,
        logprobs: Any,
        lengths: Any,
        ended: Any,
    ) -> list[list[dict[str, Any]]]:
        """Convert a finished batch to rows per problem; none for problems with NaN or Inf."""
        group = len(samples)
        counts, stops = lengths.tolist(), ended.tolist()
        id_rows = [row[:n] for row, n in zip(tokens.tolist(), counts, strict=True)]
        logprob_rows = [row[:n] for row, n in zip(logprobs.tolist(), counts, strict=True)]
        texts = self.tokenizer.batch_decode(id_rows, skip_special_tokens=True)
        result: list[list[dict[str, Any]]] = []
        for p, problem_id in enumerate(ids):
            indices = range(p * group, (p + 1) * group)
            if not all(np.isfinite(logprob_rows[i]).all() for i in indices):
                detail = "the model's logits contain NaN or Inf"
                self.failures.append((problem_id, "nonfinite_logits", detail))
                result.append([])
                continue
            result.append(
                [
                    {
                        "problem_id": problem_id,
                        "sample": samples[i - p * group],
                        "completion": self._cut(texts[i]),
                        "token_ids": id_rows[i],
                        "logprobs": logprob_rows[i],
                        "finish_reason": "stop" if stops[i] else "length",
                    }
                    for i in indices
                ]
            )
        return result

    def _cut(self, text: str) -> str:
        """Cut a text before its first stop string."""
        positions = [text.find(stop) for stop in self.config.stop if stop in text]
        return text[: min(positions)] if positions else text


def _end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Collect the token ids that end a response."""
    eos = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    eos_ids = eos if isinstance(eos, list) else [eos]
    return sorted({i for i in [*eos_ids, tokenizer.eos_token_id] if i is not None})
