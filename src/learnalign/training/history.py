"""The training history: each rollout with its step and reward, and each step's metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from learnalign.tables import HISTORY, STEPS


@dataclass
class History:
    """Rows of HISTORY and STEPS that have not been written to disk yet."""

    rollouts: list[pa.Table] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def add_rollouts(
        self,
        step: int,
        rollouts: pa.Table,
        verdicts: pa.Table,
        *,
        trained: frozenset[str] | None = None,
        expected: Mapping[str, float] | None = None,
        noise: Mapping[str, float] | None = None,
    ) -> None:
        """Add a step's rollouts with their verdicts, row by row.

        Args:
            step: Number of the step.
            rollouts: ROLLOUTS.
            verdicts: VERDICTS of the same rows.
            trained: The problems that were trained on; all if None.
            expected: Success rates that a curriculum expected, by problem.
            noise: Chances of noise that it gave, by problem.
        """
        ids = rollouts["problem_id"].to_pylist()
        used = [trained is None or name in trained for name in ids]
        table = pa.table(
            {
                "step": pa.array([step] * rollouts.num_rows, pa.int64()),
                **{name: rollouts[name] for name in rollouts.column_names if name in HISTORY.names},
                "verdict": verdicts["verdict"],
                "reward": verdicts["reward"],
                "trained": pa.array(used, pa.bool_()),
                "expected_success": pa.array([(expected or {}).get(n) for n in ids], pa.float64()),
                "noise": pa.array([(noise or {}).get(n) for n in ids], pa.float64()),
            }
        )
        self.rollouts.append(table.select(HISTORY.names).cast(HISTORY))

    def add_step(self, step: int, **metrics: Any) -> None:
        """Add a step's metrics; see STEPS."""
        self.steps.append({"step": step, **metrics})

    def take(self) -> tuple[pa.Table, pa.Table]:
        """Return the collected rows as (HISTORY, STEPS) and clear them."""
        rollouts = pa.concat_tables(self.rollouts) if self.rollouts else HISTORY.empty_table()
        steps = pa.Table.from_pylist(self.steps, schema=STEPS)
        self.rollouts, self.steps = [], []
        return rollouts, steps


def success_history(history: pa.Table) -> pa.Table:
    """Aggregate HISTORY to one row per problem and step.

    Returns:
        Columns ``problem_id``, ``step``, ``success_rate`` (mean reward), ``num_rollouts``; sorted by
        problem and step. Rollouts without a reward are ignored.

    Example:
        >>> rows = [{"step": 3, "problem_id": "a", "sample": g, "reward": r} for g, r in enumerate([1.0, 0.0])]
        >>> success_history(pa.Table.from_pylist(rows, schema=HISTORY)).to_pylist()
        [{'problem_id': 'a', 'step': 3, 'success_rate': 0.5, 'num_rollouts': 2}]
    """  # noqa: E501
    rewarded = history.filter(history["reward"].is_valid())
    grouped = rewarded.group_by(["problem_id", "step"]).aggregate(
        [("reward", "mean"), ("reward", "count")]
    )
    renamed = grouped.rename_columns(
        {"reward_mean": "success_rate", "reward_count": "num_rollouts"}
    ).select(["problem_id", "step", "success_rate", "num_rollouts"])
    return renamed.sort_by([("problem_id", "ascending"), ("step", "ascending")])
