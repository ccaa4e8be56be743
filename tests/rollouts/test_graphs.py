"""The order of warm-up, capture and replay; CUDA itself is replaced by stand-ins."""

from types import SimpleNamespace

import pytest
import torch

from learnalign.rollouts.graphs import CaptureError, GraphRunner


class Cuda:
    """Records what is asked of torch.cuda; like CUDA, a capture runs nothing."""

    def __init__(self, monkeypatch, *, refuses=False):
        self.events, self.stream, self.capturing = [], "main", False
        self.refuses = refuses
        for name in (
            "Stream",
            "stream",
            "current_stream",
            "set_stream",
            "CUDAGraph",
            "graph",
            "graph_pool_handle",
            "synchronize",
        ):
            monkeypatch.setattr(torch.cuda, name, getattr(self, f"_{name}"))

    def step(self):
        if self.capturing and self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing")
        if not self.capturing:
            self.events.append(f"step on {self._name(self.stream)}")

    def _name(self, stream):
        return stream if isinstance(stream, str) else "side"

    def _Stream(self):  # noqa: N802
        return SimpleNamespace(wait_stream=lambda other: self.events.append("side waits"))

    def _current_stream(self):
        if self.stream == "main":
            return Main(self)
        return self.stream

    def _set_stream(self, stream):
        self.stream = "main" if isinstance(stream, Main) else stream

    def _stream(self, stream):
        return Selected(self, stream)

    def _CUDAGraph(self):  # noqa: N802
        return SimpleNamespace(replay=lambda: self.events.append("replay"))

    def _graph(self, graph, *, pool, stream, capture_error_mode):
        self.events.append(f"capture into {pool}")
        return Capture(self, stream)

    def _graph_pool_handle(self):
        self.events.append("new pool")
        return "pool"

    def _synchronize(self):
        self.events.append("synchronize")


class Main:
    def __init__(self, cuda):
        self.cuda = cuda

    def wait_stream(self, other):
        self.cuda.events.append("main waits")


class Selected:
    def __init__(self, cuda, stream):
        self.cuda, self.stream = cuda, stream

    def __enter__(self):
        self.before, self.cuda.stream = self.cuda.stream, self.stream

    def __exit__(self, *error):
        self.cuda.stream = self.before


class Capture(Selected):
    """As torch's: if the capture failed, its own stream stays the current one."""

    def __enter__(self):
        super().__enter__()
        self.cuda.capturing = True

    def __exit__(self, *error):
        self.cuda.capturing = False
        if error[0] is not None:
            raise RuntimeError("capture failed")
        super().__exit__()


WARM_UP = ["side waits", "step on side", "main waits"]


def test_three_steps_then_a_capture_then_replays(monkeypatch):
    cuda, runner = Cuda(monkeypatch), GraphRunner(capture=True)
    runner.run("a", cuda.step, 2)
    runner.run("a", cuda.step, 4)
    assert cuda.events == [
        *3 * WARM_UP,
        "new pool",
        "capture into pool",
        "replay",
        "replay",
        "replay",
    ]
    cuda.events.clear()
    runner.run("b", cuda.step, 4)
    assert cuda.events == [*3 * WARM_UP, "capture into pool", "replay"]
    cuda.events.clear()
    runner.run("a", cuda.step, 2)
    assert cuda.events == ["replay", "replay"]
    assert cuda.stream == "main"


def test_a_failed_capture_gives_the_stream_back(monkeypatch):
    cuda, runner = Cuda(monkeypatch, refuses=True), GraphRunner(capture=True)
    with pytest.raises(CaptureError, match="capture failed"):
        runner.run("a", cuda.step, 5)
    assert cuda.stream == "main"
    assert not runner._graphs


def test_released_graphs_are_captured_again(monkeypatch):
    cuda, runner = Cuda(monkeypatch), GraphRunner(capture=True)
    runner.run("a", cuda.step, 5)
    cuda.events.clear()
    runner.release()
    assert cuda.events == ["synchronize"]
    runner.run("a", cuda.step, 4)
    assert cuda.events[1:] == [*3 * WARM_UP, "new pool", "capture into pool", "replay"]


def test_without_capture_every_step_runs(monkeypatch):
    cuda, runner = Cuda(monkeypatch), GraphRunner(capture=False)
    runner.run("a", cuda.step, 6)
    assert cuda.events == 6 * ["step on main"]


def test_a_mistake_is_not_taken_for_a_refusal(monkeypatch):
    def mistaken():
        raise AttributeError("no such thing")

    with pytest.raises(AttributeError):
        GraphRunner(capture=False).run("a", mistaken, 1)
