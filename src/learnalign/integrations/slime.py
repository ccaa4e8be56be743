"""A curriculum in slime: it chooses the prompts of each rollout (slime 0.3, --data-source-path).

slime asks its data source for prompts when it starts to sample, several times a rollout where it
samples more than it needs. When the rollout is complete it shows all its groups, those that a
filter dropped too, to the function named by ``--rollout-all-samples-process-path``: `observe`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign.curriculum.base import Curriculum, Indices
from learnalign.errors import LearnAlignError
from learnalign.integrations.groups import (
    choose,
    observe_groups,
    read_state,
    require_no_drops,
    require_rows,
    write_state,
)

if TYPE_CHECKING:
    _Source = Any
else:
    _Source = object

#: The key in a sample's metadata that says which row it is.
PROBLEM = "curriculum_problem"
_OBSERVE = f"{__name__}.observe"


class CurriculumMixin(_Source):  # type: ignore[misc]
    """Makes a curriculum choose the prompts of a data source of slime.

    To be put before `slime.rollout.data_source.RolloutDataSourceWithBuffer` in the bases of a class
    with `make_curriculum`, which ``--data-source-path`` names. Groups that slime aborted come back
    from its buffer first, as without a curriculum.

    Args:
        args: slime's arguments.

    Raises:
        LearnAlignError: if rewards would not reach the curriculum, or it does not fit the data or
            drops groups that slime keeps; in training, if it needs rewards from 0 to 1 and gets
            others.
    """

    def __init__(self, args: Any) -> None:
        if args.rollout_all_samples_process_path != _OBSERVE:
            raise LearnAlignError(
                f"got --rollout-all-samples-process-path {args.rollout_all_samples_process_path}",
                expected=f"{_OBSERVE}, which shows the curriculum each rollout's rewards",
                do="set it; a function of your own can call it",
            )
        super().__init__(args)
        if self.dataset is None:
            raise LearnAlignError(
                "got no --prompt-data, or --disable-rollout-global-dataset",
                expected="rows from which the curriculum can choose",
                do="name the rows by --prompt-data",
            )
        rows = self.dataset.origin_samples
        self.curriculum = self.make_curriculum(len(rows))
        if args.dynamic_sampling_filter_path is None:
            require_no_drops(self.curriculum, "slime without --dynamic-sampling-filter-path")
        require_rows(
            self.curriculum,
            len(rows),
            args.over_sampling_batch_size,
            data="--prompt-data",
            lower="--over-sampling-batch-size",
        )
        for problem, row in enumerate(rows):
            row.metadata = {**row.metadata, PROBLEM: problem}
        self._rows = _ChosenRows(rows, self._choose)
        self.dataset.samples = self._rows
        self._in_rollout = False

    def make_curriculum(self, num_problems: int) -> Curriculum:
        """Return the curriculum; called once, before a checkpoint is loaded.

        Args:
            num_problems: Number of rows that slime has left after its limit of lengths.
        """
        raise NotImplementedError

    def get_samples(self, num_samples: int) -> Any:
        """Return groups of samples without responses, as slime does.

        Args:
            num_samples: Number of groups.
        """
        self.sample_offset = 0  # slime reads `dataset.samples` from here on
        return super().get_samples(num_samples)

    def _choose(self, count: int) -> Indices:
        chosen = choose(self.curriculum, count, refill=self._in_rollout)
        self._in_rollout = True
        return chosen

    def observe(self, groups: list[list[Any]]) -> dict[str, float]:
        """Observe the groups of a rollout; the next one begins a step.

        Args:
            groups: One list of samples for each prompt; in place of a sample a list of them, where
                a rollout consists of several.

        Returns:
            The curriculum's metrics, as ``curriculum/NAME``.
        """
        rollouts = [[_last(sample) for sample in group] for group in groups]
        self._in_rollout = False
        return observe_groups(
            self.curriculum,
            [group[0].metadata[PROBLEM] for group in rollouts],
            [[_reward(sample, self.args) for sample in group] for group in rollouts],
        )

    def save(self, rollout_id: int) -> None:
        """Save slime's state and the curriculum's."""
        super().save(rollout_id)
        write_state(self.curriculum, _state_file(self.args.save, rollout_id))

    def load(self, rollout_id: int | None = None) -> None:
        """Restore both, if the checkpoint is of a training.

        Raises:
            LearnAlignError: if it is of a training without a curriculum.
        """
        super().load(rollout_id)
        self.dataset.samples = self._rows  # slime may have shuffled
        if self.args.load is None:
            return
        path = _state_file(self.args.load, rollout_id)
        if path.with_name(f"global_dataset_state_dict_{rollout_id}.pt").exists():
            read_state(self.curriculum, path)


def observe(args: Any, groups: list[list[Any]], data_source: Any) -> None:
    """Show a rollout's groups to the curriculum; for ``--rollout-all-samples-process-path``.

    Args:
        args: slime's arguments.
        groups: All groups of the rollout, with rewards.
        data_source: The data source, or its method ``get_samples``, which is what slime passes.
    """
    source = getattr(data_source, "__self__", data_source)
    args.curriculum_metrics = source.observe(groups)


def log_metrics(
    _rollout_id: int, args: Any, _samples: Any, metrics: dict[str, Any] | None, _time_s: float
) -> bool:
    """Add the curriculum's metrics to slime's; for ``--custom-rollout-log-function-path``.

    Returns:
        False: slime then logs as usual.
    """
    if metrics is not None:
        metrics.update(getattr(args, "curriculum_metrics", {}))
    return False


class _ChosenRows:
    """Rows that answer a slice of n with the n that ``choose`` returns."""

    def __init__(self, rows: list[Any], choose: Callable[[int], Indices]) -> None:
        self._rows, self._choose = rows, choose

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: slice) -> list[Any]:
        return [self._rows[index] for index in self._choose(places.stop - places.start).tolist()]


def _last(sample: Any) -> Any:
    return sample[-1] if isinstance(sample, list) else sample


def _reward(sample: Any, args: Any) -> float | None:
    return None if sample.reward is None else float(sample.get_reward_value(args))


def _state_file(folder: str, rollout_id: int | None) -> Path:
    return Path(folder) / "rollout" / f"curriculum_{rollout_id}.json"
