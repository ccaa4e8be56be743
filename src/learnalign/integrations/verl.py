"""A curriculum in verl's trainer: it chooses the prompts of each batch (verl 0.9, trainer.v1).

verl asks its data loader for a batch when it sends prompts to the rollouts, so the mixin puts a
loader there that yields the rows a curriculum chose. verl's own checkpoints save and restore that
loader, and with it the curriculum. Rewards are read from verl's queue just before advantages are
computed: then they are known, whoever computed them, and padding is marked.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from learnalign.curriculum.base import Curriculum
from learnalign.errors import LearnAlignError
from learnalign.integrations.groups import (
    choose,
    observe_groups,
    require_no_drops,
    require_rows,
    restore,
)

if TYPE_CHECKING:
    _Trainer = Any
else:
    _Trainer = object

#: The column that says which row a prompt is; `extra_info.index` need not be unique.
PROBLEM = "curriculum_problem"


class CurriculumMixin(_Trainer):  # type: ignore[misc]
    """Makes a curriculum choose the prompts of a trainer of verl.

    To be put before `verl.trainer.ppo.v1.PPOTrainerSync` (or another of verl's trainers) in the
    bases of a class with `make_curriculum`, which is registered with verl's ``register_trainer``
    and named by ``trainer.v1.trainer_mode``. The rest of the configuration is verl's.

    The curriculum observes the rollouts that verl trains on: of each, the sum of its ``rm_scores``,
    before a KL penalty; of an agent loop with several outputs, the last one's.

    Args:
        config: verl's configuration.

    Raises:
        LearnAlignError: if the curriculum drops groups or does not fit the data, or if verl filters
            groups; in training, if it needs rewards from 0 to 1 and gets others.
    """

    curriculum: Curriculum
    train_dataloader: Any

    def __init__(self, config: Any) -> None:
        from omegaconf import open_dict

        filters = config.algorithm.get("filter_groups")
        if filters is not None and filters.get("enable"):
            raise LearnAlignError(
                "got algorithm.filter_groups.enable=True",
                expected="False: the groups that verl filters never reach the curriculum",
                do="turn it off; a curriculum avoids groups without a signal before their rollouts",
            )
        # verl takes every name but "sync" for an asynchronous trainer.
        with open_dict(config):
            config.trainer.v1.trainer_mode = _verls_mode(type(self))
        super().__init__(config)

    def make_curriculum(self, num_problems: int) -> Curriculum:
        """Return the curriculum; called once, before a checkpoint is loaded.

        Args:
            num_problems: Number of rows of the training data that verl has left after its filters.
        """
        raise NotImplementedError

    def _init_dataloader(self) -> None:
        super()._init_dataloader()
        rows = len(self.train_dataset)
        self.curriculum = self.make_curriculum(rows)
        require_no_drops(self.curriculum, "this trainer")
        require_rows(
            self.curriculum,
            rows,
            self.config.data.train_batch_size,
            data="data.train_files",
            lower="data.train_batch_size",
        )
        self.train_dataloader = ChosenRows(self.train_dataloader, self.curriculum)

    def _next_train_batch(self, num_prompts: int | None = None) -> Any:
        # A number is given for prompts in addition to the batch: replacements and warm-up.
        count = self.config.data.train_batch_size if num_prompts is None else num_prompts
        self.train_dataloader.choose(count, refill=num_prompts is not None)
        return super()._next_train_batch(num_prompts)

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        import transfer_queue

        keys = _last_outputs(batch.keys, batch.tags)
        rows = transfer_queue.kv_batch_get(
            keys=keys, partition_id=batch.partition_id, select_fields=[PROBLEM, "rm_scores"]
        )
        problems: dict[str, int] = {}
        rewards: dict[str, list[float]] = defaultdict(list)
        chosen, scores = rows.pop(PROBLEM).tolist(), rows["rm_scores"]
        for key, problem, score in zip(keys, chosen, scores, strict=True):
            uid = key.rsplit("_", 2)[0]
            problems[uid] = problem
            rewards[uid].append(float(score.sum()))
        observe_groups(self.curriculum, list(problems.values()), list(rewards.values()))
        return super()._compute_advantage(batch, metrics)

    def _compute_metrics(self, batch: Any, metrics: dict[str, Any], *args: Any, **more: Any) -> Any:
        for name, value in self.curriculum.metrics().items():
            metrics[f"curriculum/{name}"] = value
        return super()._compute_metrics(batch, metrics, *args, **more)


class ChosenRows:
    """What verl takes for its data loader: batches of the rows that a curriculum chose.

    Args:
        loader: verl's loader, whose rows, batch size and collation are used.
        curriculum: Chooses; its state is that of the loader.
    """

    def __init__(self, loader: Any, curriculum: Curriculum) -> None:
        self.dataset, self.collate = loader.dataset, loader.collate_fn
        self.batch_size = loader.batch_size
        self.curriculum = curriculum
        self._chosen: list[int] = []

    def choose(self, count: int, *, refill: bool) -> None:
        """Choose ``count`` rows, which the next batches consist of."""
        self._chosen = choose(self.curriculum, count, refill=refill).tolist()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        batch, self._chosen = self._chosen[: self.batch_size], self._chosen[self.batch_size :]
        assert len(batch) == self.batch_size
        return self.collate([{**self.dataset[index], PROBLEM: index} for index in batch])

    def state_dict(self) -> dict[str, Any]:
        """Return the curriculum's state, for verl's checkpoint."""
        return {"curriculum": self.curriculum.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the curriculum.

        Raises:
            LearnAlignError: if the checkpoint is of a training without one.
        """
        restore(self.curriculum, state.get("curriculum"), "data.pt")


def _verls_mode(trainer: type) -> str:
    """Return the name under which verl itself registers the trainer that this class extends."""
    from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY

    names = {registered: name for name, registered in TRAINER_REGISTRY.items()}
    return str([names[base] for base in trainer.__mro__ if base in names][-1])


def _last_outputs(keys: list[str], tags: list[dict[str, Any]]) -> list[str]:
    """Return the key of each rollout's last output; keys are ``uid_rollout_output``."""
    last: dict[str, int] = {}
    for key, tag in zip(keys, tags, strict=True):
        if not tag.get("is_padding", False):
            rollout, _, output = key.rpartition("_")
            last[rollout] = max(last.get(rollout, 0), int(output))
    return [f"{rollout}_{output}" for rollout, output in last.items()]
