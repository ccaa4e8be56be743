"""Adaptive rollouts: after each round, the verdicts decide which problems get more."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from learnalign.config import Config
from learnalign.rollouts.adaptive import plan_next_round, rounds
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import ROUND_NAMES
from learnalign.selecting.order import budget_count, random_keys
from learnalign.tables import ROUNDS, in_order

#: Methods whose score is learnability (``alone``), or learnability times an alignment
#: (``aligned``). Other scores cannot be predicted: problems with a signal get all rollouts.
_BY_LEARNABILITY = {
    "learnability": "alone",
    "learnalign": "aligned",
    "diverse": "aligned",
    "facility_location": "aligned",
}


@dataclass(frozen=True)
class Round:
    """Which rollouts a round adds."""

    samples: range
    problem_ids: frozenset[str] | None = None
    """The problems that get more rollouts; None for all."""

    def part_of(self, pool: pa.Table) -> pa.Table:
        """Return the rows of a table whose problems the round samples."""
        if self.problem_ids is None:
            return pool
        ids = pool["problem_id"].to_pylist()
        return pool.filter(pa.array([name in self.problem_ids for name in ids], pa.bool_()))


@dataclass(frozen=True)
class _Counts:
    problem_ids: list[str]
    correct: NDArray[np.int64]
    tried: NDArray[np.int64]
    latest: NDArray[np.bool_]
    """Whether the latest round sampled the problem."""
    binary: bool
    """Whether all rewards are 0 or 1; others cannot be predicted, and no problem stops early."""


def names(config: Config) -> tuple[str, ...]:
    """Return the names of the rounds; none if every problem gets all rollouts at once.

    Example:
        >>> names(Config.model_validate({"rollouts": {"spend": "auto"}}))
        ('round-1', 'round-2', 'round-3', 'round-4')
        >>> names(Config())
        ()
    """
    if config.rollouts.spend != "auto":
        return ()
    return tuple(f"round-{k + 1}" for k in range(len(rounds(config.rollouts.num_rollouts))))


def planned(folder: RunFolder, config: Config, name: str) -> tuple[Round, dict[str, Any]]:
    """Decide which problems a round samples, from the rounds before it.

    Returns:
        The round, and the facts about the decision for the manifest.
    """
    ends = rounds(config.rollouts.num_rollouts)
    index = names(config).index(name)
    samples = range(ends[index - 1] if index else 0, ends[index])
    if index == 0:
        return Round(samples), {}
    counts = _so_far(folder, names(config)[:index])
    if not counts.binary:
        return Round(samples, frozenset(counts.problem_ids)), {}
    kind, budget = _BY_LEARNABILITY.get(config.selection.method), config.selection.budget
    known = kind is not None and budget is not None and not config.selection.per_source
    rows = sum(shard.rows for shard in folder.manifest.stages["problems"].shards.values())
    decision = plan_next_round(
        counts.correct,
        counts.tried,
        counts.latest,
        done=samples.start,
        num_rollouts=config.rollouts.num_rollouts,
        count=budget_count(budget, rows) if known else None,
        error=config.rollouts.error,
        ties=random_keys(counts.problem_ids, config.run.seed),
        aligned=kind == "aligned",
        seed=config.run.seed,
    )
    on = zip(counts.problem_ids, decision.active.tolist(), strict=True)
    chosen = frozenset(name for name, active in on if active)
    return Round(samples, chosen), {
        "problems_sampled_on": len(chosen),
        "expected_loss": round(decision.loss, 4),
    }


def spending(folder: RunFolder) -> dict[str, Any] | None:
    """Return the rounds' rollouts and the expected loss of the selection; None without rounds."""
    stages = folder.manifest.stages
    done = [stages[name] for name in ROUND_NAMES if name in stages]
    if not done:
        return None
    full = int(done[0].options["rollouts.num_rollouts"])
    problems = sum(shard.rows for shard in stages["problems"].shards.values())
    return {
        "rollouts": sum(shard.rows for record in done for shard in record.shards.values()),
        "full_budget": full * problems,
        "expected_loss": done[-1].facts.get("expected_loss", 0.0),
    }


def counts(folder: RunFolder) -> Counter[str]:
    """Add up the shards' counts about the rollouts."""
    total: Counter[str] = Counter()
    for name in ("rollouts", *ROUND_NAMES):
        record = folder.manifest.stages.get(name)
        for shard in record.shards.values() if record else ():
            total.update(shard.counts)
    return total


def with_verdicts(rollouts: pa.Table, verdicts: pa.Table) -> pa.Table:
    """Append the verdicts' columns to their rollouts: the ROUNDS table."""
    for field in ROUNDS:
        if field.name not in rollouts.column_names:
            rollouts = rollouts.append_column(field, verdicts[field.name])
    return rollouts


def joined(folder: RunFolder, config: Config, index: int, schema: pa.Schema) -> pa.Table:
    """Combine a shard's rounds, problem by problem, into its ROLLOUTS or VERDICTS."""
    rounds_table = pa.concat_tables(folder.read_shard(name, index) for name in names(config))
    ids = folder.read_shard("problems", index)["problem_id"].to_pylist()
    return in_order(rounds_table.select(schema.names), ids).cast(schema)


def _so_far(folder: RunFolder, done: tuple[str, ...]) -> _Counts:
    """Count the rollouts of the finished rounds; problems without a reward are left out."""
    rows = pa.concat_tables(
        shard.select(["problem_id", "reward"]) for name in done for shard in folder.shards(name)
    )
    right = pc.cast(pc.greater(rows["reward"], 0.5), pa.int64())
    table = (
        rows.append_column("correct", right)
        .group_by("problem_id")
        .aggregate([("correct", "sum"), ("reward", "count")])
        .sort_by("problem_id")
    )
    table = table.filter(pc.greater(table["reward_count"], 0))
    latest = pa.concat_tables(shard.select(["problem_id"]) for shard in folder.shards(done[-1]))
    return _Counts(
        table["problem_id"].to_pylist(),
        table["correct_sum"].to_numpy(),
        table["reward_count"].to_numpy(),
        pc.is_in(table["problem_id"], latest["problem_id"].combine_chunks()).to_numpy(),
        bool(pc.all(pc.is_in(rows["reward"].drop_null(), pa.array([0.0, 1.0]))).as_py()),
    )
