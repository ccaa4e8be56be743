"""What every source of rollouts offers: problems in, G rollouts of each out."""

from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

#: Called with the number of problems that were just finished.
Progress = Callable[[int], None]


class Engine(Protocol):
    """Samples, or looks up, the rollouts of problems."""

    @property
    def failures(self) -> list[tuple[str, str, str]]:
        """Problems set aside, as (problem_id, reason, detail); grows with each call."""
        ...

    def sample(
        self,
        problems: pa.Table,
        progress: Progress | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Give the ROLLOUTS table of a PROBLEMS table, in its order.

        Args:
            problems: PROBLEMS table.
            progress: Called with the number of problems just finished.
            samples: Which samples of each problem; 0..G-1 if not given. Sample g is the same
                whichever others are asked for with it.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds: processes, connections, a device's memory."""
        ...
