"""Lay out several problems as one batch: each prompt once, followed by its distinct responses.

A packed row contains, for each problem, the prompt's tokens and then those of its responses. The
last token of each response is left out, since nothing is predicted from it::

    tokens     p p p p a a b b b | q q c c
    positions  0 1 2 3 4 5 4 5 6 | 0 1 2 3
    sequences  p p p p a a .       what attends to what: one causal sequence per response,
               p p p p b b b       padded on the right
               q q c c . . .
    bounds     (0, 9)              (9, 13)

Everything except attention works per token, and processes each prompt once and no padding. A model
whose prompts cannot be shared gets the sequences themselves as a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnalign.gradients.tasks import GradientTask

Ints = NDArray[np.int64]
#: Index of the predicting token, target, weight, weight of the KL term, reference log-probability.
Prediction = tuple[int, int, float, float, float]


@dataclass
class Pack:
    """A batch on the model's device; index tensors are int64."""

    items: list[GradientTask]
    input_ids: torch.Tensor  # (1, T) packed, or (M, S) one row per sequence
    position_ids: torch.Tensor  # as input_ids
    bounds: list[tuple[int, int]]  # of each item in the flattened tokens
    predicting: torch.Tensor  # (U,) indices of the flattened tokens that predict a target
    pair_rows: torch.Tensor  # (L,) index into predicting, ascending
    pair_targets: torch.Tensor  # (L,) predicted token id
    pair_weights: torch.Tensor  # (L,)
    pair_kl_weights: torch.Tensor | None  # (L,) weights of the KL term
    pair_references: torch.Tensor | None  # (L,) log-probabilities under the reference
    pair_order: Ints  # (L,) the pair's number, counted item by item, response by response
    pair_bounds: list[int]  # (U + 1) pairs of row u are [pair_bounds[u], pair_bounds[u + 1])
    sequences: torch.Tensor | None = None  # (M, S) packed tokens of each sequence; 0 as padding
    unpack: torch.Tensor | None = None  # (T,) each packed token's first index in the sequences
    token_owners: torch.Tensor | None = None  # (T,) index of each packed token's item
    token_branches: torch.Tensor | None = None  # (T,) of its response in the item; -1: the prompt
    separate: "Separate | None" = None
    ratios: torch.Tensor | None = None  # (L,) pi_ref / pi, after the pack's backward pass
    masks: dict[object, Any] = field(default_factory=dict)
    """Attention masks of this pack, cached for its other layers."""

    @property
    def num_tokens(self) -> int:
        """Number of tokens that pass through the layers, padding included."""
        return self.input_ids.numel()


@dataclass
class Separate:
    """Prompts and responses as separate rows, so that long prompts attend only once."""

    prompts: torch.Tensor  # (N, P) packed tokens of each prompt, padded on the right with 0
    responses: torch.Tensor  # (M, R) packed tokens of each response, padded in the same way
    owners: torch.Tensor  # (M,) index of each response's prompt
    unpack: torch.Tensor  # (T,) index into the flattened prompts, then responses
    visible: torch.Tensor  # (M, 1, R, P + R) booleans


def lay_out(
    items: list[GradientTask],
    *,
    shared: bool,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Pack:
    """Lay out items as a batch on the device: one copy of all indices, one of all weights.

    Args:
        items: At least one, each with at least one response.
        shared: Packed, with each prompt once; else one padded row per response.
        device: The model's device.
        dtype: dtype of the weights.
    """
    return (_packed if shared else _padded)(items, torch.device(device), dtype)


def _packed(items: list[GradientTask], device: torch.device, dtype: torch.dtype) -> Pack:
    tokens: list[int] = []
    positions: list[int] = []
    bounds: list[tuple[int, int]] = []
    sequences: list[list[int]] = []
    owners: list[int] = []
    token_owners: list[int] = []
    branches: list[int] = []
    predicted: list[Prediction] = []
    for owner, item in enumerate(items):
        start = len(tokens)
        prompt = list(range(start, start + len(item.prompt)))
        tokens += item.prompt
        positions += range(len(item.prompt))
        branches += [-1] * len(item.prompt)
        before = len(sequences)
        for number, response in enumerate(item.responses):
            own = list(range(len(tokens), len(tokens) + len(response) - 1))
            tokens += response[:-1]
            positions += range(len(item.prompt), len(item.prompt) + len(own))
            branches += [number] * len(own)
            predicted += _predictions(item, number, [prompt[-1], *own])
            if own or len(sequences) == before:
                sequences.append(prompt + own)
                owners.append(owner)
        bounds.append((start, len(tokens)))
        token_owners += [owner] * (len(tokens) - start)
    ints: dict[str, Ints] = {
        "input_ids": np.array([tokens]),
        "position_ids": np.array([positions]),
        "sequences": _right_padded(sequences),
        "token_owners": np.array(token_owners),
        "token_branches": np.array(branches),
    }
    ints["unpack"] = _first_index(ints["sequences"], [len(s) for s in sequences], len(tokens))
    ints |= _separate(items, sequences, owners, ints["sequences"].size * ints["sequences"].shape[1])
    return _to_device(items, ints, predicted, bounds, device, dtype)


def _padded(items: list[GradientTask], device: torch.device, dtype: torch.dtype) -> Pack:
    rows = [(item, number) for item in items for number in range(len(item.responses))]
    tokens = _right_padded([list(i.prompt + i.responses[number][:-1]) for i, number in rows])
    width = tokens.shape[1]
    predicted: list[Prediction] = []
    for r, (item, number) in enumerate(rows):
        first = r * width + len(item.prompt) - 1
        indices = range(first, first + len(item.responses[number]))
        predicted += _predictions(item, number, indices)
    counts = np.cumsum([0, *(len(item.responses) for item in items)]) * width
    bounds = list(zip(counts[:-1].tolist(), counts[1:].tolist(), strict=True))
    positions = np.broadcast_to(np.arange(width), tokens.shape)
    ints = {"input_ids": tokens, "position_ids": positions}
    return _to_device(items, ints, predicted, bounds, device, dtype)


def _predictions(item: GradientTask, number: int, indices: Sequence[int]) -> Iterator[Prediction]:
    """Yield the predicting token and the weights of each token of one response."""
    response, weight = item.responses[number], item.weights[number]
    if item.kl_term is None:
        kl_weight, references = 0.0, [0.0] * len(response)
    else:
        kl_weight = item.kl_term.weights[number]
        references = list(item.kl_term.logprobs[number])
    for index, target, reference in zip(indices, response, references, strict=True):
        yield index, target, weight, kl_weight, reference


def _to_device(
    items: list[GradientTask],
    ints: dict[str, Ints],
    predicted: list[Prediction],
    bounds: list[tuple[int, int]],
    device: torch.device,
    dtype: torch.dtype,
) -> Pack:
    """Copy all index arrays as one buffer and all weights as another."""
    order = np.argsort([row[0] for row in predicted], kind="stable")
    predicted = [predicted[i] for i in order]
    predicting, pair_rows, counts = np.unique(
        np.array([row[0] for row in predicted]), return_inverse=True, return_counts=True
    )
    has_kl = any(item.kl_term is not None for item in items)
    floats = np.array([row[2:] if has_kl else row[2:3] for row in predicted]).T
    ints = ints | {
        "predicting": predicting,
        "pair_rows": pair_rows,
        "pair_targets": np.array([row[1] for row in predicted]),
    }
    flat = torch.from_numpy(np.concatenate([a.reshape(-1) for a in ints.values()]).astype(np.int64))
    scales = torch.from_numpy(floats).to(dtype)
    if device.type == "cuda":
        flat, scales = flat.pin_memory(), scales.pin_memory()
    flat, scales = flat.to(device, non_blocking=True), scales.to(device, non_blocking=True)
    pieces = flat.split([a.size for a in ints.values()])  # type: ignore[no-untyped-call]
    named = {name: p.view(a.shape) for (name, a), p in zip(ints.items(), pieces, strict=True)}
    pack = Pack(
        items=items,
        bounds=bounds,
        pair_order=order,
        pair_weights=scales[0],
        pair_kl_weights=scales[1] if has_kl else None,
        pair_references=scales[2] if has_kl else None,
        pair_bounds=[0, *np.cumsum(counts).tolist()],
        **{name: tensor for name, tensor in named.items() if not name.startswith(_SEPARATE)},
    )
    separate = {n.removeprefix(_SEPARATE): t for n, t in named.items() if n.startswith(_SEPARATE)}
    if separate:
        lengths = separate.pop("lengths")
        visible = _visible(lengths, separate["prompts"], separate["responses"])
        pack.separate = Separate(**separate, visible=visible)
    return pack


_SEPARATE = "separate_"


def _separate(
    items: list[GradientTask], sequences: list[list[int]], owners: list[int], cost: float
) -> dict[str, Ints]:
    """Index prompts and responses separately, if that takes less attention than whole sequences."""
    lengths = [len(item.prompt) for item in items]
    own = [s[lengths[o] :] for s, o in zip(sequences, owners, strict=True)]
    longest, width = max(lengths), max(map(len, own))
    if width == 0 or len(items) * longest**2 / 2 + len(own) * width * (longest + width) > cost / 2:
        return {}
    first = {owner: index for index, owner in reversed(list(enumerate(owners)))}
    prompts = _right_padded([sequences[first[n]][: lengths[n]] for n in range(len(items))])
    responses = _right_padded(own)
    num_tokens = sum(item.num_tokens for item in items)
    unpack = _first_index(prompts, lengths, num_tokens)
    later = _first_index(responses, [len(r) for r in own], num_tokens) + prompts.size
    return {
        f"{_SEPARATE}prompts": prompts,
        f"{_SEPARATE}responses": responses,
        f"{_SEPARATE}owners": np.array(owners),
        f"{_SEPARATE}lengths": np.array([lengths[o] for o in owners]),
        f"{_SEPARATE}unpack": np.where(unpack >= 0, unpack, later),
    }


def _visible(lengths: torch.Tensor, prompts: torch.Tensor, responses: torch.Tensor) -> torch.Tensor:
    """Return the mask (M, 1, R, P + R): a response sees its prompt, and itself causally."""
    longest, (count, width) = prompts.shape[1], responses.shape
    prompt = torch.arange(longest, device=lengths.device) < lengths[:, None]
    causal = torch.ones(width, width, dtype=torch.bool, device=lengths.device).tril()
    pieces = [
        prompt[:, None, None, :].expand(-1, 1, width, -1),
        causal.expand(count, 1, -1, -1),
    ]
    return torch.cat(pieces, dim=-1)


def _right_padded(rows: list[list[int]]) -> Ints:
    width = max(map(len, rows))
    return np.array([row + [0] * (width - len(row)) for row in rows], dtype=np.int64)


def _first_index(index: Ints, lengths: list[int], num_tokens: int) -> Ints:
    """Return each token's first position in a padded index, -1 if it has none."""
    valid = np.arange(index.shape[1]) < np.array(lengths)[:, None]
    flat = np.flatnonzero(valid.reshape(-1))
    first = np.full(num_tokens, -1)
    first[index.reshape(-1)[flat[::-1]]] = flat[::-1]
    return first
