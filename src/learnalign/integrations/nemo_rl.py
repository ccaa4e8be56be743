"""A curriculum in NeMo-RL's synchronous GRPO: it chooses the prompts of each step (NeMo-RL 0.6).

NeMo-RL's ``data.custom_dataloader`` gets neither rewards nor a place in checkpoints. Both are in
what `examples/run_grpo.py` passes to the training: the data loader, which is asked for a batch when
the last step is over and whose state is in checkpoints, and the logger, which gets each step's
rewards in the order of the batch.
"""

import os
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from learnalign.curriculum.base import Curriculum, Indices
from learnalign.errors import LearnAlignError
from learnalign.integrations.groups import observe_groups, require_no_drops, require_rows, restore

#: The file of NeMo-RL's checkpoints that contains the loader's state.
STATE_FILE = "train_dataloader.pt"


class CurriculumLoader:
    """Yields the batches that a curriculum chose, in the place of NeMo-RL's data loader.

    An epoch has as many batches as without a curriculum.

    Args:
        loader: The loader that NeMo-RL's ``setup`` made.
        curriculum: A `Curriculum` of as many problems as the loader has rows; it must not be one
            that drops groups.
        num_rollouts: ``grpo.num_generations_per_prompt``.
        checkpoint: The folder of the checkpoint that the training resumes from, or None.

    Raises:
        LearnAlignError: if the curriculum drops groups or does not fit the data, or the checkpoint
            is of a training without one; in training, if rewards of a step do not arrive, or the
            curriculum needs rewards from 0 to 1 and gets others.
    """

    def __init__(
        self, loader: Any, curriculum: Curriculum, num_rollouts: int, *, checkpoint: str | None
    ) -> None:
        require_no_drops(curriculum, "this loader")
        require_rows(
            curriculum,
            len(loader.dataset),
            loader.batch_size,
            data="the training data",
            lower="grpo.num_prompts_per_step",
        )
        self.dataset, self.collate, self.batch_size = (
            loader.dataset,
            loader.collate_fn,
            loader.batch_size,
        )
        self.curriculum, self.num_rollouts = curriculum, num_rollouts
        self._num_batches, self._yielded = len(loader), 0
        self._chosen: Indices | None = None
        if checkpoint is not None:
            self._resume(os.path.join(checkpoint, STATE_FILE))

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[Any]:
        while self._yielded < self._num_batches:
            if self._chosen is not None:
                raise LearnAlignError(
                    "got no rewards of the last batch",
                    expected="NeMo-RL's log of each step, train_data_stepN.jsonl",
                    do="pass `loader.listening(logger)` to the training, and turn off "
                    "grpo.use_dynamic_sampling and env.should_log_nemo_gym_responses",
                )
            self._chosen = self.curriculum.next_batch(self.batch_size)
            self._yielded += 1
            yield self.collate([self.dataset[index] for index in self._chosen.tolist()])
        self._yielded = 0

    def listening(self, logger: Any) -> Any:
        """Return a logger to be passed to the training; it shows rewards to the curriculum."""
        return _ListeningLogger(logger, self)

    def observe(self, rewards: list[float]) -> dict[str, float]:
        """Observe the rewards of the last batch.

        Args:
            rewards: (batch size x rollouts,) the rollouts of a prompt in a row.

        Returns:
            The curriculum's metrics, as ``curriculum/NAME``.
        """
        chosen, self._chosen = self._chosen, None
        wanted = 0 if chosen is None else len(chosen) * self.num_rollouts
        if chosen is None or len(rewards) != wanted:
            raise LearnAlignError(
                f"got {len(rewards)} rewards of a step",
                expected=f"{wanted}, one for each rollout of the last batch",
                do="turn off grpo.use_dynamic_sampling",
            )
        groups = np.asarray(rewards, dtype=np.float64).reshape(len(chosen), self.num_rollouts)
        return observe_groups(self.curriculum, chosen, list(groups))

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for NeMo-RL's checkpoint."""
        return {"curriculum": self.curriculum.state_dict(), "yielded": self._yielded}

    def _resume(self, path: str) -> None:
        import torch

        state = torch.load(path, weights_only=True)
        restore(self.curriculum, state.get("curriculum"), path)
        self._yielded = state["yielded"]

    def __reduce__(self) -> NoReturn:
        raise LearnAlignError(
            "got a loader that is sent to another process",
            expected="NeMo-RL's synchronous GRPO, where rewards come back to this one",
            do="set grpo.async_grpo.enabled=false",
        )


class _ListeningLogger:
    """NeMo-RL's logger, which also shows each step's rewards to a curriculum."""

    def __init__(self, logger: Any, loader: CurriculumLoader) -> None:
        self._logger, self._loader = logger, loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def log_batched_dict_as_jsonl(self, to_log: Any, filename: str) -> None:
        """Write a log; one of a training step has ``rewards``."""
        self._logger.log_batched_dict_as_jsonl(to_log, filename)
        step = re.fullmatch(r"train_data_step(\d+)\.jsonl", filename)
        if step:
            metrics = self._loader.observe(to_log["rewards"])
            self._logger.log_metrics(metrics, int(step[1]), prefix="train")
