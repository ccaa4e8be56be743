"""FlexAttention on packed rows: the same gradients as plain autograd on separate sequences."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.attention import flex_attention

from gradients.test_engine import slow_gradient
from gradients.test_families import GROUPS, PROMPTS, build
from helpers.tiny_models import tiny_model
from learnalign.config import GradientConfig
from learnalign.gradients import flex
from learnalign.gradients.backward import Backward
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.layout import lay_out
from learnalign.gradients.probe import probe
from learnalign.gradients.tasks import make_task

#: Plain, grouped heads, sliding windows, soft caps, sinks, keys and values of different widths.
KINDS = ["Llama", "Mistral", "Qwen2", "Gemma2", "Gemma3Text", "GptOss", "DeepseekV3"]


@pytest.fixture(autouse=True)
def differentiable_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch refuses FlexAttention's backward pass on a CPU, where its plain form could run it."""
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *tensors: None)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("family", KINDS)
def test_gradients_are_autograds(family: str) -> None:
    options = GradientConfig(sketch_size=64, input_width=0, attention="flex")
    engine = GradientEngine(build(family), options, temperature=0.7, seed=0, max_tokens=10)
    assert engine.gradients.shared
    assert engine.gradients.backward.kernel == "flex"
    plain = build(family)
    for prompt, group in zip(PROMPTS, GROUPS, strict=True):
        truth = slow_gradient(plain, prompt, group.responses, group.rewards, "grpo", "group")
        ours = engine.gradient(prompt, group)
        size = sum(float(t.double().square().sum()) for t in truth.values()) ** 0.5
        error = sum(float((ours[n] - t).double().square().sum()) for n, t in truth.items()) ** 0.5
        assert error < 1e-4 * size, f"relative error {error / size:.1e}"


@pytest.mark.parametrize("window", [None, 3])
def test_mask_by_hand(window: int | None) -> None:
    items = [
        make_task(0, [1, 2], [[3, 4, 5], [6, 7]], [1.0, 2.0]),
        make_task(1, [8], [[9, 10]], [1.0]),
    ]
    pack = lay_out(items, shared=True)
    # Tokens: prompt 1 2, responses 3 4 and 6 (without their last token); prompt 8, response 9.
    assert pack.input_ids.tolist() == [[1, 2, 3, 4, 6, 8, 9]]
    sees = {0: {0}, 1: {0, 1}, 2: {0, 1, 2}, 3: {0, 1, 2, 3}, 4: {0, 1, 4}, 5: {5}, 6: {5, 6}}
    if window == 3:
        sees[3] = {1, 2, 3}
    mask = flex.visible(pack, window)
    index = torch.arange(7)
    found = mask(0, 0, index[:, None], index)
    assert {q: set(row.nonzero()[:, 0].tolist()) for q, row in enumerate(found)} == sees


def _gathers(backward: Backward) -> str:
    probe(backward, [])
    return backward.kernel


def test_automatic_choice_on_a_cpu_is_gathering() -> None:
    assert _gathers(Backward(tiny_model("llama"), temperature=1.0)) == "gathered"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_cuda(dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype).cuda()
    assert _gathers(Backward(model, temperature=1.0)) == "flex"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_kernel_that_does_not_compile_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_device: str) -> Callable[..., object]:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(flex, "_kernel", broken)
    assert _gathers(Backward(tiny_model("llama", torch.float32).cuda(), temperature=1.0)) == (
        "gathered"
    )
