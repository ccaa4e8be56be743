"""For models of random weights: a stand-in tokenizer, and an engine of fixed response lengths."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch

from learnalign.config import RolloutConfig
from learnalign.rollouts.transformers import TransformersEngine


class Numbers:
    """Decodes a response as an answer: whether its first token is odd."""

    eos_token_id = None

    def batch_decode(self, rows: Sequence[Sequence[int]], **_options: Any) -> list[str]:
        """Return a text for each row.

        Example:
            >>> Numbers().batch_decode([[137, 4], []])
            ['The answer is 1.', '']
        """
        return [f"The answer is {row[0] % 2}." if len(row) else "" for row in rows]


def problems(prompts: list[list[int]], answers: list[str] | None = None) -> pa.Table:
    """Make a table of problems, as the engine and the verifier read it."""
    from learnalign.tables import PROBLEMS

    count = len(prompts)
    columns = {
        "problem_id": [str(place) for place in range(count)],
        "answer": answers or ["1"] * count,
        "row": ["{}"] * count,
        "prompt": ["A digit, please."] * count,
        "prompt_ids": prompts,
    }
    rest = {f.name: pa.nulls(count, f.type) for f in PROBLEMS if f.name not in columns}
    return pa.table({**columns, **rest}).select(PROBLEMS.names).cast(PROBLEMS)


def engine(model: Any, *, group: int, tokens: int, **more: Any) -> TransformersEngine:
    """Make an engine that samples ``tokens`` tokens whatever they are.

    ``more`` are options of the rollouts that may not exist in every version.
    """
    known = {key: value for key, value in more.items() if key in RolloutConfig.model_fields}
    config = RolloutConfig(num_rollouts=group, max_tokens=tokens, token_budget=1 << 20, **known)
    made = TransformersEngine(model, Numbers(), config, seed=0)
    made.end_ids = torch.tensor([], dtype=torch.long, device=made.device)
    return made


def random_prompts(count: int, length: int, vocabulary: int) -> list[list[int]]:
    """Make prompts of random tokens."""
    numbers = torch.Generator().manual_seed(count * length)
    found: list[list[int]] = torch.randint(
        3, vocabulary, (count, length), generator=numbers
    ).tolist()
    return found
