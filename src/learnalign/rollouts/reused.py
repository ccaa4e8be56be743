"""Rollouts that a training made in its last steps, in place of fresh ones.

A problem's group counts as recent if it was sampled in one of the last steps of the training that
made the policy: it is then the work of a policy only that many updates old.
docs/guides/training.md says what such groups are worth beside fresh ones.
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
    """Find each problem's last group among a training's last steps.

    Args:
        history: Gives the shards of HISTORY, anew at every call.
        steps: How many of the last steps count.
        num_rollouts: G; smaller groups do not count.

    Returns:
        Rows of ROLLOUTS by problem_id, samples 0 to G-1.
    """
    last = max((pc.max(table["step"]).as_py() for table in history()), default=0)
    found: dict[str, dict[int, Group]] = {}
    for table in history():
        recent = table.filter(pc.greater(table["step"], last - steps))
        for row in recent.drop(["verdict", "reward"]).to_pylist():
            step = row.pop("step")
            found.setdefault(row["problem_id"], {}).setdefault(step, []).append(row)
    groups = {name: by_step[max(by_step)] for name, by_step in found.items()}
    return {
        name: sorted(group, key=lambda row: row["sample"])[:num_rollouts]
        for name, group in groups.items()
        if len(group) >= num_rollouts
    }


class ReusedEngine(Engine):
    """Gives recent groups where there are some, and samples the rest.

    Args:
        groups: See `recent_groups`.
        engine: Samples the other problems.
    """

    def __init__(self, groups: dict[str, Group], engine: Engine) -> None:
        super().__init__()
        self.groups, self.engine = groups, engine
        self.failures, self.counts = engine.failures, engine.counts

    def discard_cached(self) -> None:
        """Have the other engine forget."""
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
        """Give the ROLLOUTS table of a PROBLEMS table, in its order."""
        ids = problems["problem_id"].to_pylist()
        chosen = slice(None) if samples is None else slice(samples.start, samples.stop)
        known = [row for name in ids for row in self.groups.get(name, [])[chosen]]
        left = problems.filter(pa.array([name not in self.groups for name in ids], pa.bool_()))
        if progress is not None:
            progress(len(ids) - left.num_rows)
        tables = [pa.Table.from_pylist(known, schema=ROLLOUTS)]
        if left.num_rows:
            tables.append(self.engine.sample(left, progress, samples=samples))
        return in_order(pa.concat_tables(tables), ids)
