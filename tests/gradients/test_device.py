"""A batch runs without making the host wait; sums, products and copies are what they say."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gradients.test_families import GROUPS, PROMPTS, build
from learnalign.config import GradientConfig
from learnalign.gradients.device import HostCopy, add_at, outer_sum
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.policy import PolicyGradients
from learnalign.gradients.tasks import KLTerm

#: Operators whose result's value or shape the host must know: on CUDA each is a wait.
WAITS = (
    "aten._local_scalar_dense",  # item, bool, float, tolist of one value
    "aten.nonzero",
    "aten.masked_select",
    "aten.bincount",
    "aten.unique",
    "aten._unique",
    "aten.repeat_interleave.Tensor",
    "aten.equal",
)


class Waits(TorchDispatchMode):
    """Counts operators that would make the host wait for a CUDA device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(func)
        masked = name.startswith("aten.index") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], list | tuple) else ())
        )
        if name.startswith(WAITS) or masked:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: torch.bincount(x.long()),
        lambda x: x.repeat_interleave(torch.tensor([1, 2, 1])),
        lambda x: x.unique(),
    ],
)
def test_what_waits_is_counted(wait: Any) -> None:
    with Waits() as waits:
        wait(torch.tensor([1.0, 0.0, 2.0]))
    assert waits.found


#: Models of each way of attending: shared prompts, windows, soft caps, sinks, experts, no sharing.
MODELS = ["Llama", "Mistral", "Qwen3", "Gemma2", "GptOss", "Mamba"]


def _jobs(kl: bool) -> list[Any]:
    term = KLTerm([0.1] * 4, [[-1.0] * len(r) for r in GROUPS[0].responses]) if kl else None
    return [
        (PROMPTS[0], GROUPS[0].responses, [0.5, -0.25, -0.25, 0.5], term),
        (PROMPTS[1], GROUPS[1].responses, [-0.5, 0.5], None),
    ]


@pytest.mark.parametrize("kl", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_batch_makes_no_host_wait(name: str, kl: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    options = GradientConfig(sketch_size=64, input_width=4)
    gradients = PolicyGradients(build(name), options, temperature=1.0, seed=0)
    waits, run = Waits(), PolicyGradients._run

    def watched(self: PolicyGradients, items: Any, sink: Any) -> None:
        with waits:
            run(self, items, sink)

    monkeypatch.setattr(PolicyGradients, "_run", watched)
    assert all(row.norm > 0 for row in gradients(_jobs(kl)))
    assert waits.found == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", MODELS)
def test_no_wait_on_cuda(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = GradientConfig(sketch_size=64, input_width=4)
    gradients = PolicyGradients(build(name).cuda(), options, temperature=1.0, seed=0)
    gradients(_jobs(False))  # compiles and allocates
    run = PolicyGradients._run

    def watched(self: PolicyGradients, items: Any, sink: Any) -> None:
        torch.cuda.set_sync_debug_mode("error")
        try:
            run(self, items, sink)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(PolicyGradients, "_run", watched)
    assert all(row.norm > 0 for row in gradients(_jobs(False)))


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dim", [0, 1])
def test_sums_at_indices(device: str, dim: int) -> None:
    torch.manual_seed(0)
    index, values = torch.randint(5, (40,)), torch.randn(40, 3)
    expected = torch.zeros(5, 3)
    for i, value in zip(index.tolist(), values, strict=True):
        expected[i] += value
    found = []
    for _ in range(2):
        sums = torch.zeros(5, 3, device=device)
        target, source = (sums, values) if dim == 0 else (sums.T, values.T)
        add_at(target, dim, index.to(device), source.to(device))
        found.append(sums.cpu())
    torch.testing.assert_close(found[0], expected)
    assert torch.equal(*found)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outer_sum(device: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(200, 6).to(dtype), torch.randn(200, 4).to(dtype)
    expected = sum(torch.outer(a, b) for a, b in zip(left.double(), right.double(), strict=True))
    found = outer_sum(left.to(device), right.to(device))
    exact = dtype == torch.float32 or device == "cuda"
    assert found.dtype == (torch.float32 if exact else dtype)
    tolerance = 1e-5 if exact else 1e-2
    torch.testing.assert_close(found.double().cpu(), expected, rtol=tolerance, atol=20 * tolerance)


@pytest.mark.parametrize("device", DEVICES)
def test_copies_arrive(device: str) -> None:
    values = torch.arange(1000.0, device=device)
    copy = HostCopy(values * 2, values.to(torch.float16)[:3])
    doubled, halves = copy.wait()
    assert np.array_equal(doubled, np.arange(1000.0) * 2)
    assert halves.dtype == np.float16


def test_rows_come_back_in_order_when_copies_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on CUDA: a batch's rows are taken only when the next batch has been queued."""
    options = GradientConfig(sketch_size=64, token_budget=12)
    model = build("Llama")
    engine = GradientEngine(model, options, temperature=1.0, seed=0, max_tokens=9)
    plain = engine.gradients(_jobs(False))
    events: list[str] = []
    run = PolicyGradients._run

    class Late(HostCopy):
        def __init__(self, *tensors: torch.Tensor) -> None:
            super().__init__(*tensors)
            self.on_host = False

        def wait(self) -> Any:
            events.append("wait")
            return [tensor.numpy() for tensor in self._tensors]

    def watched(self: PolicyGradients, items: Any, sink: Any) -> None:
        events.append("run")
        run(self, items, sink)

    monkeypatch.setattr(PolicyGradients, "_run", watched)
    monkeypatch.setattr("learnalign.gradients.policy.HostCopy", Late)
    done: list[int] = []
    late = engine.gradients(_jobs(False), done=done.append)
    assert [row.norm for row in late] == [row.norm for row in plain]
    assert all(np.array_equal(a.sketch, b.sketch) for a, b in zip(late, plain, strict=True))
    assert sorted(done) == [0, 1]
    assert events.index("wait") > 1
    assert events[-1] == "wait"
