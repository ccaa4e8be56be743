"""Runs a step again and again; on CUDA as a graph, which takes one launch instead of hundreds."""

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import torch

#: Steps that run as they are before the step is captured. torch asks for such a warm-up: libraries
#: set themselves up at first use, which cannot be captured. They are ordinary steps of the batch.
_WARM_UP = 3


class CaptureError(Exception):
    """A step cannot run with fixed shapes, or cannot be captured."""


class GraphRunner:
    """Runs steps, and captures each kind of step once.

    A graph repeats kernels with the arguments that they had: the addresses of tensors, not their
    contents. A step must therefore write its results into tensors that exist before it, and these
    must live as long as the runner. All graphs share one memory pool, because nothing inside a step
    is used after it.

    Args:
        capture: Whether to use graphs; without, each step runs as it is (on a CPU).
    """

    def __init__(self, *, capture: bool) -> None:
        self.capture = capture
        self._graphs: dict[Hashable, Any] = {}
        self._runs: Counter[Hashable] = Counter()
        self._pool: Any = None
        self._stream: Any = None

    def run(self, kind: Hashable, step: Callable[[], None], times: int) -> None:
        """Run a step a number of times.

        Args:
            kind: Steps of the same kind run the same kernels on the same addresses.
            step: The step.
            times: How often.

        Raises:
            CaptureError: if the step fails; of the results since the call nothing may be used.
        """
        try:
            for _ in range(times):
                self._run_once(kind, step)
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            raise CaptureError(f"{type(error).__name__}: {error}") from error

    def release(self) -> None:
        """Free the graphs and their memory, which the caller must not be replaying."""
        if self._graphs:
            self._synchronize()
        self._graphs.clear()
        self._runs.clear()
        self._pool = None

    def _run_once(self, kind: Hashable, step: Callable[[], None]) -> None:
        graph = self._graphs.get(kind)
        if graph is None and self.capture:
            self._runs[kind] += 1
            if self._runs[kind] <= _WARM_UP:
                self._warm_up(step)
                return
            graph = self._graphs[kind] = self._captured(step)
        if graph is None:
            step()
        else:
            graph.replay()

    def _warm_up(self, step: Callable[[], None]) -> None:
        """Run a step on the stream that will capture it."""
        if self._stream is None:
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            step()
        current.wait_stream(self._stream)

    def _captured(self, step: Callable[[], None]) -> Any:
        """Record a step's kernels without running them."""
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(
                graph,
                pool=self._pool,
                stream=self._stream,
                capture_error_mode="thread_local",  # other threads may go on using the device
            ):
                step()
        except BaseException:
            torch.cuda.set_stream(current)  # a failed capture leaves its own stream behind
            raise
        return graph

    def _synchronize(self) -> None:
        torch.cuda.synchronize()
