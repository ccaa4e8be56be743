"""Several problems as one batch: each prompt once, its distinct responses behind it.

A packed row holds, for each problem, the prompt's tokens and then those of its responses, the last
token of each left out, since nothing is predicted from it::

    tokens     p p p p a a b b b | q q c c
    positions  0 1 2 3 4 5 4 5 6 | 0 1 2 3
    sequences  p p p p a a .       what attends to what: one causal sequence a response,
               p p p p b b b       padded on the right
               q q c c . . .
    bounds     (0, 9)              (9, 13)

All but attention works token by token and never sees a prompt twice, nor any padding. A model whose
prompts cannot be shared gets the sequences themselves as a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from learnalign.gradients.tasks import GradientTask

Ints = NDArray[np.int64]
#: Place, target, weight, weight of the KL term, log-probability under the reference.
Prediction = tuple[int, int, float, float, float]


@dataclass
class Pack:
    """A batch on the model's device; index tensors are int64."""

    items: list[GradientTask]
    input_ids: torch.Tensor  # (1, T) packed, or (M, S) one row a sequence
    position_ids: torch.Tensor  # as input_ids
    bounds: list[tuple[int, int]]  # of each item in the flattened tokens
    places: torch.Tensor  # (U,) flattened tokens from which something is predicted
    pair_places: torch.Tensor  # (L,) index into places, ascending
    pair_targets: torch.Tensor  # (L,) token id that is predicted
    pair_weights: torch.Tensor  # (L,)
    pair_pulls: torch.Tensor | None  # (L,) weights of the KL term
    pair_references: torch.Tensor | None  # (L,) log-probabilities under the reference
    pair_order: Ints  # (L,) the pair's number, counted item by item, response by response
    pair_bounds: list[int]  # (U + 1) pairs of place u are [pair_bounds[u], pair_bounds[u + 1])
    sequences: torch.Tensor | None = None  # (M, S) packed tokens of each sequence; 0 as padding
    home: torch.Tensor | None = None  # (T,) each packed token's first place in the sequences
    apart: "Apart | None" = None
    ratios: torch.Tensor | None = None  # (L,) pi_ref / pi, once the pack has run backward
    masks: dict[object, torch.Tensor] = field(default_factory=dict)
    """Attention masks made for this pack, kept for its other layers."""

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the layers, padding included."""
        return self.input_ids.numel()


@dataclass
class Apart:
    """Prompts and responses apart, for long prompts that would cost too much attention twice."""

    prompts: torch.Tensor  # (N, P) packed tokens of each prompt, padded on the right with 0
    responses: torch.Tensor  # (M, R) packed tokens of each response, padded likewise
    owners: torch.Tensor  # (M,) prompt of each response
    home: torch.Tensor  # (T,) place in the flattened prompts, then responses
    visible: torch.Tensor  # (M, 1, R, P + R) booleans


def lay_out(
    items: list[GradientTask],
    *,
    shared: bool,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Pack:
    """Lay items out as a batch and bring it to the device, in one copy of indices and one of weights.

    Args:
        items: At least one, each with at least one response.
        shared: Packed, with each prompt once; else one padded row a response.
        device: Where the model is.
        dtype: Of the weights.
    """  # noqa: E501
    return (_packed if shared else _padded)(items, torch.device(device), dtype)


def _packed(items: list[GradientTask], device: torch.device, dtype: torch.dtype) -> Pack:
    tokens: list[int] = []
    positions: list[int] = []
    bounds: list[tuple[int, int]] = []
    sequences: list[list[int]] = []
    owners: list[int] = []
    predicted: list[Prediction] = []
    for owner, item in enumerate(items):
        start = len(tokens)
        prompt = list(range(start, start + len(item.prompt)))
        tokens += item.prompt
        positions += range(len(item.prompt))
        before = len(sequences)
        for number, response in enumerate(item.responses):
            own = list(range(len(tokens), len(tokens) + len(response) - 1))
            tokens += response[:-1]
            positions += range(len(item.prompt), len(item.prompt) + len(own))
            predicted += _predictions(item, number, [prompt[-1], *own])
            if own or len(sequences) == before:
                sequences.append(prompt + own)
                owners.append(owner)
        bounds.append((start, len(tokens)))
    ints: dict[str, Ints] = {
        "input_ids": np.array([tokens]),
        "position_ids": np.array([positions]),
        "sequences": _right_padded(sequences),
    }
    ints["home"] = _home(ints["sequences"], [len(s) for s in sequences], len(tokens))
    ints |= _apart(items, sequences, owners, ints["sequences"].size * ints["sequences"].shape[1])
    return _to_device(items, ints, predicted, bounds, device, dtype)


def _padded(items: list[GradientTask], device: torch.device, dtype: torch.dtype) -> Pack:
    rows = [(item, number) for item in items for number in range(len(item.responses))]
    tokens = _right_padded([list(i.prompt + i.responses[number][:-1]) for i, number in rows])
    width = tokens.shape[1]
    predicted: list[Prediction] = []
    for r, (item, number) in enumerate(rows):
        first = r * width + len(item.prompt) - 1
        places = range(first, first + len(item.responses[number]))
        predicted += _predictions(item, number, places)
    counts = np.cumsum([0, *(len(item.responses) for item in items)]) * width
    bounds = list(zip(counts[:-1].tolist(), counts[1:].tolist(), strict=True))
    positions = np.broadcast_to(np.arange(width), tokens.shape)
    ints = {"input_ids": tokens, "position_ids": positions}
    return _to_device(items, ints, predicted, bounds, device, dtype)


def _predictions(item: GradientTask, number: int, places: Sequence[int]) -> Iterator[Prediction]:
    """Say what one response's tokens are predicted from, and what they weigh."""
    response, weight = item.responses[number], item.weights[number]
    if item.pull is None:
        pull, references = 0.0, [0.0] * len(response)
    else:
        pull, references = item.pull.weights[number], list(item.pull.logprobs[number])
    for place, target, reference in zip(places, response, references, strict=True):
        yield place, target, weight, pull, reference


def _to_device(
    items: list[GradientTask],
    ints: dict[str, Ints],
    predicted: list[Prediction],
    bounds: list[tuple[int, int]],
    device: torch.device,
    dtype: torch.dtype,
) -> Pack:
    """Send all index arrays as one buffer and all weights as another."""
    order = np.argsort([row[0] for row in predicted], kind="stable")
    predicted = [predicted[i] for i in order]
    places, pair_places, counts = np.unique(
        np.array([row[0] for row in predicted]), return_inverse=True, return_counts=True
    )
    pulled = any(item.pull is not None for item in items)
    floats = np.array([row[2:] if pulled else row[2:3] for row in predicted]).T
    ints = ints | {
        "places": places,
        "pair_places": pair_places,
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
        pair_pulls=scales[1] if pulled else None,
        pair_references=scales[2] if pulled else None,
        pair_bounds=[0, *np.cumsum(counts).tolist()],
        **{name: tensor for name, tensor in named.items() if not name.startswith(_APART)},
    )
    apart = {n.removeprefix(_APART): t for n, t in named.items() if n.startswith(_APART)}
    if apart:
        lengths = apart.pop("lengths")
        pack.apart = Apart(**apart, visible=_visible(lengths, apart["prompts"], apart["responses"]))
    return pack


_APART = "apart_"


def _apart(
    items: list[GradientTask], sequences: list[list[int]], owners: list[int], cost: float
) -> dict[str, Ints]:
    """Index prompts and responses apart, if that takes less attention than whole sequences."""
    lengths = [len(item.prompt) for item in items]
    own = [s[lengths[o] :] for s, o in zip(sequences, owners, strict=True)]
    longest, width = max(lengths), max(map(len, own))
    if width == 0 or len(items) * longest**2 / 2 + len(own) * width * (longest + width) > cost / 2:
        return {}
    first = {owner: place for place, owner in reversed(list(enumerate(owners)))}
    prompts = _right_padded([sequences[first[n]][: lengths[n]] for n in range(len(items))])
    responses = _right_padded(own)
    num_tokens = sum(item.num_tokens for item in items)
    home = _home(prompts, lengths, num_tokens)
    later = _home(responses, [len(r) for r in own], num_tokens) + prompts.size
    return {
        f"{_APART}prompts": prompts,
        f"{_APART}responses": responses,
        f"{_APART}owners": np.array(owners),
        f"{_APART}lengths": np.array([lengths[o] for o in owners]),
        f"{_APART}home": np.where(home >= 0, home, later),
    }


def _visible(lengths: torch.Tensor, prompts: torch.Tensor, responses: torch.Tensor) -> torch.Tensor:
    """Mask (M, 1, R, P + R): a response sees its prompt, and itself up to each token."""
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


def _home(index: Ints, lengths: list[int], num_tokens: int) -> Ints:
    """Give each token's first place in a padded index, -1 where it has none."""
    valid = np.arange(index.shape[1]) < np.array(lengths)[:, None]
    flat = np.flatnonzero(valid.reshape(-1))
    home = np.full(num_tokens, -1)
    home[index.reshape(-1)[flat[::-1]]] = flat[::-1]
    return home
