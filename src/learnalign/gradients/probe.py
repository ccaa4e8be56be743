"""Probe a model with a tiny batch: can prompts be shared, which layers does it call?"""

from dataclasses import dataclass
from typing import Any

import torch

from learnalign.gradients.backward import Backward
from learnalign.gradients.layout import Pack, lay_out
from learnalign.gradients.parameters import Weight
from learnalign.gradients.tasks import GradientTask, make_task

#: Largest relative difference that rounding may make between a packed and a plain pass.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.02}
#: Kinds of attention with a packed form; for others a short probe cannot detect a difference.
_KNOWN = {"full_attention", "sliding_attention"}
_REFUSALS = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError)


@dataclass(frozen=True)
class Probe:
    """The result of probing a model."""

    shared: bool
    """Whether packed problems have the same hidden states as their separate sequences."""
    weights: list[Weight]
    """The selected weights; those whose module was not called are left to autograd."""
    bytes_per_token: int
    """Memory that the graph keeps per token until the backward pass."""


def probe(backward: Backward, weights: list[Weight]) -> Probe:
    """Run two small problems packed and unpacked, and compare.

    Args:
        backward: The model's `Backward`.
        weights: The selected weights; their modules must not be hooked yet.
    """
    model = backward.model
    device = next(model.parameters()).device
    items = _items(int(model.get_input_embeddings().weight.shape[0]))
    plain = lay_out(items, shared=False, device=device)
    called: set[int] = set()
    hooks = [
        weight.module.register_forward_hook(lambda module, *_: called.add(id(module)))
        for weight in weights
        if weight.module is not None
    ]
    try:
        saved = _Saved(model)
        with torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda tensor: tensor):
            hidden = backward.hidden(plain).last_hidden_state.detach().flatten(0, 1)
            expected = hidden[plain.predicting]
        shared = _can_share(backward, items, plain, expected)
    finally:
        for hook in hooks:
            hook.remove()
    probed = [w if id(w.module) in called else Weight(w.name, w.parameter, None) for w in weights]
    return Probe(shared, probed, max(1, saved.bytes // plain.num_tokens))


def _can_share(
    backward: Backward, items: list[GradientTask], plain: Pack, expected: torch.Tensor
) -> bool:
    config = backward.model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if not kinds <= _KNOWN or not backward.model._can_set_attn_implementation():
        return False
    packed = lay_out(items, shared=True, device=expected.device)
    if backward.kernel == "auto":
        backward.kernel = "flex" if _flex_works(backward, packed) else "gathered"
    try:
        with torch.no_grad():
            hidden = backward.hidden(packed).last_hidden_state.flatten(0, 1)
    except _REFUSALS:
        return False
    # A packed token can predict for several sequences; compare each with its own row.
    references = _by_token(plain, expected)
    rows = _by_token(packed, hidden[packed.predicting])
    error = torch.stack([(rows[key] - references[key]).norm() for key in references]).double()
    size = torch.stack([references[key].norm() for key in references]).double()
    return bool(error.median() <= _TOLERANCE[expected.dtype] * size.median())


def _flex_works(backward: Backward, packed: Pack) -> bool:
    """Return whether FlexAttention runs here, forward and backward, and agrees with gathering."""
    device, dtype = packed.position_ids.device, next(backward.model.parameters()).dtype
    if device.type != "cuda" or dtype == torch.float64:
        return False
    results = []
    for kernel in ("gathered", "flex"):
        backward.kernel = kernel
        try:
            results.append(_hidden_and_gradient(backward, packed))
        except _REFUSALS:
            return False
    (hidden, gradient), (other_hidden, other_gradient) = results
    return all(
        bool((one - other).norm() <= _TOLERANCE[dtype] * one.norm())
        for one, other in ((hidden, other_hidden), (gradient, other_gradient))
    )


def _hidden_and_gradient(backward: Backward, pack: Pack) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the last hidden states, and the gradient of their sum at the embedding's output."""
    embedded: list[torch.Tensor] = []
    embedding = backward.model.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _module, _inputs, out: embedded.append(out))
    try:
        with torch.enable_grad():
            hidden = backward.hidden(pack).last_hidden_state
            (gradient,) = torch.autograd.grad(hidden.float().sum(), embedded)
    finally:
        hook.remove()
    return hidden.detach().float(), gradient.float()


def _by_token(pack: Pack, hidden: torch.Tensor) -> dict[tuple[int, float], torch.Tensor]:
    """Key each prediction's hidden state by its target token and (distinct) weight."""
    return {
        (target, weight): hidden[row]
        for row, target, weight in zip(
            pack.pair_rows.tolist(),
            pack.pair_targets.tolist(),
            pack.pair_weights.tolist(),
            strict=True,
        )
    }


def _items(vocabulary: int) -> list[GradientTask]:
    """Build two problems of distinct tokens, as far as the vocabulary allows."""
    tokens = iter([(7 * i + 3) % vocabulary for i in range(64)])

    def take(count: int) -> list[int]:
        return [next(tokens) for _ in range(count)]

    return [
        make_task(0, take(9), [take(5), take(3), take(1)], [1.0, 2.0, 3.0]),
        make_task(1, take(4), [take(6), take(2)], [4.0, 5.0]),
    ]


class _Saved:
    """Counts the bytes that a graph keeps, each storage once, without the model's weights."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.bytes = 0
        self._seen = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(self, tensor: torch.Tensor) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor
