"""A curriculum in TRL's trainers: it chooses the prompts of each generation batch.

TRL's data loader reads rows before they are needed: one batch ahead, and all batches of an
optimizer step at once. A sampler would have to choose before the last outcomes are known, and
after a resume it would have to repeat its choices. So the mixin leaves TRL's sampler alone, which
then only counts steps and epochs, and puts the chosen rows in the place of the loaded ones when
TRL generates. TRL calls `_generate_and_score_completions` once for each generation batch, however
many accumulation steps and iterations use it afterwards.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from learnalign.curriculum.base import Curriculum
from learnalign.errors import LearnAlignError

if TYPE_CHECKING:
    _Trainer = Any
else:
    _Trainer = object

#: The file in TRL's checkpoints that contains the curriculum's state.
STATE_FILE = "curriculum.json"
#: TRL adds rewards in float32; differences below this are rounding.
_ROUNDING = 1e-6


class CurriculumMixin(_Trainer):  # type: ignore[misc]
    """Makes a curriculum choose the prompts of a trainer of TRL.

    To be put before `trl.GRPOTrainer`, or a subclass of it, in the bases of a class. The trainer
    then takes the argument ``curriculum``; everything else is TRL's.

    The curriculum observes each generation batch once: the sum of the reward functions by
    ``reward_weights``, as in TRL, and None as no reward. Its state is saved in each checkpoint.
    With several processes the main one chooses for all.

    Args:
        args: Positional arguments of the trainer.
        curriculum: A `Curriculum` of as many problems as ``train_dataset`` has rows; it must not
            be one that drops groups.
        kwargs: Keyword arguments of the trainer.

    Raises:
        LearnAlignError: if the curriculum drops groups or does not fit the data; in training, if
            it needs rewards from 0 to 1 and gets others.
    """

    def __init__(self, *args: Any, curriculum: Curriculum, **kwargs: Any) -> None:
        if curriculum.drops:
            raise LearnAlignError(
                f"got the curriculum {curriculum.name!r}, which drops groups without a signal",
                expected="one that trains on all it samples: TRL cannot refill a batch",
                do="use another one, such as learnalign, or `learnalign train`, which refills",
            )
        self.curriculum = curriculum
        self._chosen: NDArray[np.int64] | None = None
        super().__init__(*args, **kwargs)
        rows = len(self.train_dataset) if hasattr(self.train_dataset, "__len__") else None
        if rows != curriculum.num_problems:
            raise LearnAlignError(
                f"got a curriculum of {curriculum.num_problems} problems",
                expected=f"{rows}, one for each row of train_dataset"
                if rows is not None
                else "a train_dataset with a length and indexed rows",
                do="make it with num_problems=len(train_dataset)",
            )
        wanted = self.args.generation_batch_size // self.num_generations
        if wanted > curriculum.num_problems:
            raise LearnAlignError(
                f"got {rows} rows for generation batches of {wanted} prompts",
                expected="at least as many rows, because no prompt appears twice in a batch",
                do="lower steps_per_generation or per_device_train_batch_size",
            )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        if self.model.training:
            inputs = self._choose_rows(len(inputs))
        return super()._generate_and_score_completions(inputs)

    def _choose_rows(self, count: int) -> list[dict[str, Any]]:
        """Choose the next generation batch and return this process's ``count`` rows of it."""
        from accelerate.utils import broadcast_object_list, send_to_device

        # What the loaders of all processes yield together is one generation batch.
        groups, rest = divmod(count * self.accelerator.num_processes, self.num_generations)
        assert rest == 0
        box: list[Any] = [None]
        if self.accelerator.is_main_process:
            box[0] = self.curriculum.next_batch(groups)
        self._chosen = broadcast_object_list(box)[0]
        # TRL gathers rewards process after process, and expects a group's rollouts in a row.
        repeated = np.repeat(self._chosen, self.num_generations)
        begin = count * self.accelerator.process_index
        loader = self.callback_handler.train_dataloader  # its data set has only the columns in use
        rows = [loader.dataset[index] for index in repeated[begin : begin + count].tolist()]
        return list(send_to_device(loader.collate_fn(rows), self.accelerator.device))

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
        rewards = super()._calculate_rewards(*args, **kwargs)
        if self._chosen is not None:  # not in an evaluation
            self._observe(self._chosen, _weighted_sum(rewards, self.reward_weights))
            self._chosen = None
        return rewards

    def _observe(self, chosen: NDArray[np.int64], rewards: NDArray[np.float64]) -> None:
        """Observe the rewards of all processes, (rollouts,) with NaN for none."""
        groups = rewards.reshape(len(chosen), self.num_generations)
        given = ~np.isnan(groups)
        outside = groups[given & ((groups < -_ROUNDING) | (groups > 1 + _ROUNDING))]
        if len(outside) and self.curriculum.estimates() is not None:
            raise LearnAlignError(
                f"the curriculum {self.curriculum.name} got a reward of {outside[0]:g}",
                expected="rewards from 0 to 1, from which it estimates success rates",
                do="scale the rewards or set reward_weights, or use the curriculum order",
            )
        if self.accelerator.is_main_process:
            highest = np.where(given, groups, -np.inf).max(axis=1)
            lowest = np.where(given, groups, np.inf).min(axis=1)
            successes = np.where(given, groups.clip(0.0, 1.0), 0.0).sum(axis=1)
            self.curriculum.observe(
                chosen, successes, given.sum(axis=1), has_signal=highest - lowest > _ROUNDING
            )
            for name, value in self.curriculum.metrics().items():
                self._metrics["train"][f"curriculum/{name}"].append(value)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.accelerator.is_main_process:
            folder = Path(self._get_output_dir(trial=trial))
            path = folder / f"checkpoint-{self.state.global_step}" / STATE_FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.curriculum.state_dict()))
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            path = Path(checkpoint) / STATE_FILE
            if self.accelerator.is_main_process and not path.is_file():
                raise LearnAlignError(
                    f"got a checkpoint without {STATE_FILE}: {checkpoint}",
                    expected="one of a training with a curriculum",
                    do="resume from such a checkpoint, or start a new training",
                )
            if self.accelerator.is_main_process:
                self.curriculum.load_state_dict(json.loads(path.read_text()))


def _weighted_sum(rewards: Any, weights: Any) -> NDArray[np.float64]:
    """Add (rollouts, functions) rewards as TRL does; NaN where no function gave one."""
    each = rewards.detach().double().cpu().numpy()
    none = np.isnan(each).all(axis=1)
    total = np.nansum(each * weights.double().cpu().numpy(), axis=1)
    return np.where(none, np.nan, total)
