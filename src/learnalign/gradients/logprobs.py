"""Log-probabilities of responses under a model, such as a KL term's reference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from learnalign.gradients.backward import Backward
from learnalign.gradients.layout import lay_out
from learnalign.gradients.memory import enough
from learnalign.gradients.probe import probe
from learnalign.gradients.tasks import group_tasks, make_task
from learnalign.tables import REFERENCES

Floats = NDArray[np.float64]


class LogProbs:
    """Computes log pi(o_{r,t} | prompt, o_{r,<t}) of many problems' responses, packed.

    Args:
        model: A causal language model of transformers.
        temperature: Divides the logits.
        token_budget: Tokens per batch; the device's most efficient number if None.
        kernel: How packed problems attend; see `Backward`.
    """

    def __init__(
        self,
        model: Any,
        *,
        temperature: float,
        token_budget: int | None = None,
        kernel: str = "auto",
    ) -> None:
        self.backward = Backward(model, temperature=temperature, kernel=kernel)
        first = next(model.parameters())
        self.device = first.device
        self.shared = probe(self.backward, []).shared
        self.budget = token_budget or enough(self.device, first.dtype)

    @torch.no_grad()
    def __call__(
        self, problems: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]
    ) -> list[list[Floats]]:
        """Compute the log-probabilities of each problem's responses.

        Args:
            problems: Prompts and their responses, as token ids; a response may be empty.

        Returns:
            For each problem, (|o_r|,) values of each response.
        """
        items = [make_task(i, p, rs, [1.0] * len(rs)) for i, (p, rs) in enumerate(problems)]
        logprobs: dict[tuple[int, tuple[int, ...]], Floats] = {}
        usable = [item for item in items if item.responses]
        for batch in group_tasks(usable, self.budget, shared=self.shared):
            pack = lay_out(batch, shared=self.shared, device=self.device)
            output = self.backward.hidden(pack)
            values = self.backward.head.logprobs(
                output, pack, temperature=self.backward.temperature
            )
            flat = np.empty(len(values))
            flat[pack.pair_order] = values.cpu().numpy()
            start = 0
            for item in batch:
                for response in item.responses:
                    logprobs[item.key, response] = flat[start : start + len(response)]
                    start += len(response)
        empty = np.empty(0)
        return [
            [logprobs.get((i, tuple(response)), empty) for response in responses]
            for i, (_, responses) in enumerate(problems)
        ]

    def table(self, problems: pa.Table, rollouts: pa.Table) -> pa.Table:
        """Compute REFERENCES: one row per rollout, in the order of ``rollouts``.

        Args:
            problems: PROBLEMS table.
            rollouts: ROLLOUTS table of some of these problems; each problem's rows are adjacent.
        """
        prompts = dict(
            zip(problems["problem_id"].to_pylist(), problems["prompt_ids"].to_pylist(), strict=True)
        )
        groups: dict[str, list[list[int]]] = {}
        names, tokens = rollouts["problem_id"].to_pylist(), rollouts["token_ids"].to_pylist()
        for name, ids in zip(names, tokens, strict=True):
            groups.setdefault(name, []).append(ids)
        logprobs = self([(prompts[name], responses) for name, responses in groups.items()])
        flat = [values for group in logprobs for values in group]
        columns = {
            "problem_id": rollouts["problem_id"],
            "sample": rollouts["sample"],
            "logprobs": pa.array(flat, REFERENCES.field("logprobs").type),
        }
        return pa.table(columns, schema=REFERENCES)
