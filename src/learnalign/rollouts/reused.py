"""Reuse rollouts from the last steps of a training run, in place of fresh ones.

A problem's group counts as recent if it was sampled in one of the last steps of the training that
produced the policy, so by a policy that is at most that many updates old.
docs/guides/training.md compares such groups with fresh ones.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.rollouts.engine import Engine, Progress
from learnalign.tables import ROLLOUTS, in_order

Group = list[dict[str, Any]]


def recent_groups(
    history: Callable[[], Iterable[pa.Table]], *, steps: int, num_rollouts: int
) -> dict[str, Group]:
    """Find each problem's last group among the last steps of a training run.

    Args:
        history: Returns an iterator over the shards of HISTORY, a new one at every call.
        steps: Number of last steps to search.
        num_rollouts: G; smaller groups are ignored.

    Returns:
        ROLLOUTS rows by problem_id, samples 0 to G-1.
    """
    last = max((pc.max(table["step"]).as_py() for table in history()), default=0)
    steps_by_problem: dict[str, dict[int, Group]] = {}
    for table in history():
        recent = table.filter(pc.greater(table["step"], last - steps))
        for row in recent.drop(["verdict", "reward"]).to_pylist():
            step = row.pop("step")
            steps_by_problem.setdefault(row["problem_id"], {}).setdefault(step, []).append(row)
    groups = {name: by_step[max(by_step)] for name, by_step in steps_by_problem.items()}
    return {
        name: sorted(group, key=lambda row: row["sample"])[:num_rollouts]
        for name, group in groups.items()
        if len(group) >= num_rollouts
    }


class ReusedEngine(Engine):
    """Returns recent groups where they exist, and samples the rest.

    Args:
        groups: The result of `recent_groups`.
        engine: Samples the other problems.
    """

    def __init__(self, groups: dict[str, Group], engine: Engine) -> None:
        super().__init__()
        self.groups, self.engine = groups, engine
        self.failures, self.counts = engine.failures, engine.counts

    def discard_cached(self) -> None:
        """Discard what the other engine has cached."""
        self.engine.discard_cached()

    def close(self) -> None:
        """Close the other engine."""
        self.engine.close()

    def sample(
        self,
        problems: pa.Table,
        progress: Progress | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Return the ROLLOUTS table of a PROBLEMS table, in its order."""
        ids = problems["problem_id"].to_pylist()
        chosen = slice(None) if samples is None else slice(samples.start, samples.stop)
        reused = [row for name in ids for row in self.groups.get(name, [])[chosen]]
        missing = problems.filter(pa.array([name not in self.groups for name in ids], pa.bool_()))
        if progress is not None:
            progress(len(ids) - missing.num_rows)
        tables = [pa.Table.from_pylist(reused, schema=ROLLOUTS)]
        if missing.num_rows:
            tables.append(self.engine.sample(missing, progress, samples=samples))
        return in_order(pa.concat_tables(tables), ids)
