"""What every source of rollouts offers: problems in, G rollouts of each out."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable

import pyarrow as pa

#: Called with the number of problems that were just finished.
Progress = Callable[[int], None]


class Engine(ABC):
    """Samples, or looks up, the rollouts of problems."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str, str]] = []
        """Problems set aside, as (problem_id, reason, detail); grows with each call."""
        self.counts: Counter[str] = Counter()
        """What there is to say of the rollouts (`answers.warnings`); grows with each call."""

    @abstractmethod
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

    def discard_cached(self) -> None:  # noqa: B027
        """Throw away what was kept of the calls so far: their tables stand."""

    def close(self) -> None:  # noqa: B027
        """Give back what the engine holds: processes, connections, a device's memory."""
