"""What every source of rollouts offers: problems in, G rollouts of each out."""

from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

#: Called with the number of problems that were just finished.
Progress = Callable[[int], None]


class Engine(Protocol):
    """Samples, or looks up, the rollouts of problems."""

    #: Problems that were set aside, as (problem_id, reason, detail); grows with each call.
    failures: list[tuple[str, str, str]]

    def sample(self, problems: pa.Table, progress: Progress | None = None) -> pa.Table:
        """Give the ROLLOUTS table of a PROBLEMS table, in its order, samples 0..G-1 of each."""
        ...
