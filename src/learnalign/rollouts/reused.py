"""Reuse rollouts of an earlier run in place of fresh ones.

A problem's group counts as recent if it was sampled in one of the last steps of the training that
produced the policy, so by a policy that is at most that many updates old.
docs/guides/training.md compares such groups with fresh ones.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.rollouts.engine import Engine
from learnalign.tables import ROLLOUTS, in_order
from learnalign.terminal.progress import Advance


def recent_groups(
    history: Callable[[], Iterable[pa.Table]], *, steps: int, num_rollouts: int
) -> pa.Table:
    """Find each problem's last group among the last steps of a training run.

    Args:
        history: Returns an iterator over the shards of HISTORY, a new one at every call.
        steps: Number of last steps to search.
        num_rollouts: G; smaller groups are ignored.

    Returns:
        ROLLOUTS, samples 0 to G-1 of each such problem.
    """
    last = max((pc.max(table["step"]).as_py() for table in history()), default=0)
    steps_by_problem: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for table in history():
        recent = table.filter(pc.greater(table["step"], last - steps))
        for row in recent.drop(["verdict", "reward"]).to_pylist():
            step = row.pop("step")
            steps_by_problem.setdefault(row["problem_id"], {}).setdefault(step, []).append(row)
    rows = [row for by_step in steps_by_problem.values() for row in by_step[max(by_step)]]
    return whole_groups(pa.Table.from_pylist(rows, schema=ROLLOUTS), num_rollouts=num_rollouts)


def whole_groups(rollouts: pa.Table, *, num_rollouts: int) -> pa.Table:
    """Keep the samples 0 to G-1 of the problems that have all of them.

    Args:
        rollouts: ROLLOUTS, one group a problem.
        num_rollouts: G.

    Example:
        >>> table = pa.table({"problem_id": ["a", "a", "b", "a"], "sample": [0, 1, 0, 2]})
        >>> whole_groups(table, num_rollouts=2).to_pydict()
        {'problem_id': ['a', 'a'], 'sample': [0, 1]}
    """
    first = rollouts.filter(pc.less(rollouts["sample"], num_rollouts))
    counts = first.group_by("problem_id").aggregate([("sample", "count")])
    whole = counts.filter(pc.equal(counts["sample_count"], num_rollouts))["problem_id"]
    return first.filter(pc.is_in(first["problem_id"], whole.combine_chunks()))


class ReusedEngine(Engine):
    """Returns existing groups where there are some, and samples the rest.

    ``counts["reused"]`` is the number of existing rollouts returned.

    Args:
        rollouts: ROLLOUTS, all G samples of some problems (`recent_groups`, `whole_groups`).
        engine: Samples the other problems.
    """

    def __init__(self, rollouts: pa.Table, engine: Engine) -> None:
        super().__init__()
        self.rollouts, self.engine = rollouts, engine
        self._known = set(rollouts["problem_id"].to_pylist())
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
        progress: Advance | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Return the ROLLOUTS table of a PROBLEMS table, in its order."""
        ids = problems["problem_id"].to_pylist()
        known = pa.array([name in self._known for name in ids], pa.bool_())
        missing = problems.filter(pc.invert(known))
        wanted = problems["problem_id"].filter(known)
        reused = self.rollouts.filter(
            pc.is_in(self.rollouts["problem_id"], wanted.combine_chunks())
        )
        if samples is not None:
            numbers = pa.array(samples, pa.int32())
            reused = reused.filter(pc.is_in(reused["sample"], numbers))
        if progress is not None:
            progress(len(ids) - missing.num_rows)
        tables = [reused]
        if missing.num_rows:
            tables.append(self.engine.sample(missing, progress, samples=samples))
        if reused.num_rows:
            self.counts["reused"] += reused.num_rows
        return in_order(pa.concat_tables(tables), ids)
