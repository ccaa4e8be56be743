"""Base class of all sources of rollouts: problems in, G rollouts of each out."""

from abc import ABC, abstractmethod
from collections import Counter

import pyarrow as pa

from learnalign.terminal.progress import Advance


class Engine(ABC):
    """Samples or looks up the rollouts of problems."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str, str]] = []
        """Excluded problems, as (problem_id, reason, detail); grows with each call."""
        self.counts: Counter[str] = Counter()
        """Counts about the rollouts, for warnings; grows with each call."""

    @abstractmethod
    def sample(
        self,
        problems: pa.Table,
        progress: Advance | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Return the ROLLOUTS table of a PROBLEMS table, in its order.

        Args:
            problems: PROBLEMS table.
            progress: Called with the number of problems just finished.
            samples: Which samples of each problem; 0..G-1 by default. Sample g does not depend on
                which others are requested.
        """

    def discard_cached(self) -> None:  # noqa: B027
        """Discard what is cached for the calls so far; their tables have been written."""

    def close(self) -> None:  # noqa: B027
        """Release the engine's resources: processes, connections, device memory."""
