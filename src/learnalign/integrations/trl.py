"""A curriculum in TRL's trainers: it chooses the prompts of each generation batch.

TRL's data loader reads rows before they are needed: one batch ahead, and all batches of an
optimizer step at once. A sampler would have to choose before the last outcomes are known, and
after a resume it would have to repeat its choices. So the mixin leaves TRL's sampler alone, which
then only counts steps and epochs, and puts the chosen rows in the place of the loaded ones when
TRL generates. TRL calls `_generate_and_score_completions` once for each generation batch, however
many accumulation steps and iterations use it afterwards.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from learnalign.curriculum.base import Curriculum
from learnalign.errors import LearnAlignError
from learnalign.integrations.groups import (
    observe_groups,
    read_state,
    require_no_drops,
    require_rows,
    require_success_rates,
    write_state,
)

if TYPE_CHECKING:
    _Trainer = Any
else:
    _Trainer = object

#: The file in TRL's checkpoints that contains the curriculum's state.
STATE_FILE = "curriculum.json"


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
        require_no_drops(curriculum, "TRL")
        self.curriculum = curriculum
        self._chosen: NDArray[np.int64] | None = None
        super().__init__(*args, **kwargs)
        if not hasattr(self.train_dataset, "__len__"):
            raise LearnAlignError(
                f"got a train_dataset of the class {type(self.train_dataset).__name__}",
                expected="one with a length and indexed rows, from which a curriculum can choose",
                do="load the data without streaming",
            )
        require_rows(
            curriculum,
            len(self.train_dataset),
            self.args.generation_batch_size // self.num_generations,
            data="train_dataset",
            lower="steps_per_generation or per_device_train_batch_size",
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
        require_success_rates(self.curriculum, groups)  # in every process
        if self.accelerator.is_main_process:
            for name, value in observe_groups(self.curriculum, chosen, list(groups)).items():
                self._metrics["train"][name].append(value)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.accelerator.is_main_process:
            folder = Path(self._get_output_dir(trial=trial))
            checkpoint = folder / f"checkpoint-{self.state.global_step}"
            write_state(self.curriculum, checkpoint / STATE_FILE)
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self.accelerator.is_main_process:
            read_state(self.curriculum, Path(checkpoint) / STATE_FILE)


def _weighted_sum(rewards: Any, weights: Any) -> NDArray[np.float64]:
    """Add (rollouts, functions) rewards as TRL does; NaN where no function gave one."""
    each = rewards.detach().double().cpu().numpy()
    none = np.isnan(each).all(axis=1)
    total = np.nansum(each * weights.double().cpu().numpy(), axis=1)
    return np.where(none, np.nan, total)
