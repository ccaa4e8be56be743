"""What a random sample of problems measured: shares with intervals, and success by group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.selecting.statistics.success_rates import jeffreys_interval

Floats = NDArray[np.float64]

#: One row per verified problem of the sample.
MEASURED = pa.schema(
    [
        ("problem_id", pa.string()),
        ("source", pa.string()),
        ("difficulty", pa.string()),  # null without one
        ("prompt_tokens", pa.int64()),
        ("num_rollouts", pa.int64()),  # rollouts with a reward
        ("success_rate", pa.float64()),  # mean reward
        ("reward_variance", pa.float64()),  # population variance of the rewards
        ("num_sampled", pa.int64()),  # rollouts, those without a reward included
        ("num_truncated", pa.int64()),
        ("num_unread", pa.int64()),  # verdict unparsed_answer
        ("response_tokens", pa.int64()),  # of all its rollouts together
    ]
)
#: Groups that a table of groups shows; the smallest others are joined.
_MOST_GROUPS = 12
_OTHERS = "others"


@dataclass(frozen=True)
class Share:
    """How many of how many, with a 95 % interval if the cases are independent."""

    count: int
    total: int
    share: float
    """From 0 to 1; 0 if there are none at all."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Group:
    """Problems with something in common."""

    name: str
    problems: int
    success_rate: float
    """Mean over its problems."""
    signal: Share


@dataclass(frozen=True)
class Measures:
    """What was measured. A problem has a signal if its rollouts' rewards differ."""

    problems: int
    rollouts: int
    success_rate: float
    """Mean over the problems."""
    signal: Share
    solved: Share
    """No signal, and a mean reward of at least 0.5."""
    hopeless: Share
    """No signal, and a mean reward below 0.5."""
    truncated: Share
    """Of the rollouts; without an interval, because rollouts of one problem are alike."""
    unread: Share
    """Rollouts in which no answer could be read."""
    tokens: float
    """Response tokens per rollout."""
    groups: dict[str, list[Group]]
    """By ``source``, ``difficulty``, ``prompt tokens`` and ``response tokens``, where they
    differ."""


def measure(table: pa.Table) -> Measures:
    """Compute the shares and the groups.

    Args:
        table: MEASURED, with at least one problem.

    Example:
        >>> row = {"num_rollouts": 2, "num_sampled": 2, "num_truncated": 0, "num_unread": 1}
        >>> row |= {"source": "s", "prompt_tokens": 9, "response_tokens": 30}
        >>> rates = [{"success_rate": p, "reward_variance": p * (1 - p)} for p in (0, 0.5, 1, 0)]
        >>> found = measure(pa.Table.from_pylist([row | rate for rate in rates], schema=MEASURED))
        >>> found.signal.count, found.solved.count, found.hopeless.count, found.tokens
        (1, 1, 2, 15.0)
        >>> round(found.signal.low, 3), round(found.signal.high, 3)
        (0.028, 0.716)
    """
    signal = signals(table)
    rate = column(table, "success_rate")
    sampled = int(column(table, "num_sampled").sum())
    return Measures(
        problems=table.num_rows,
        rollouts=sampled,
        success_rate=float(rate.mean()),
        signal=_independent(signal),
        solved=_independent(~signal & (rate >= 0.5)),
        hopeless=_independent(~signal & (rate < 0.5)),
        truncated=_alike(table, "num_truncated", sampled),
        unread=_alike(table, "num_unread", sampled),
        tokens=float(column(table, "response_tokens").sum()) / max(1, sampled),
        groups=_groups(table, rate, signal),
    )


def signals(table: pa.Table) -> NDArray[np.bool_]:
    """Return which problems of MEASURED have a signal: their rewards differ."""
    return column(table, "reward_variance") > 0.0


def column(table: pa.Table, name: str) -> Floats:
    """Return a column of MEASURED as float64."""
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _independent(cases: NDArray[np.bool_]) -> Share:
    count, total = int(cases.sum()), len(cases)
    low, high = jeffreys_interval([count], total)
    return Share(count, total, count / total, float(low[0]), float(high[0]))


def _alike(table: pa.Table, name: str, total: int) -> Share:
    count = int(column(table, name).sum())
    return Share(count, total, count / total if total else 0.0)


def _groups(table: pa.Table, rate: Floats, signal: NDArray[np.bool_]) -> dict[str, list[Group]]:
    lengths = column(table, "response_tokens") / np.maximum(1.0, column(table, "num_sampled"))
    labels: dict[str, Sequence[str]] = {
        "source": _named(table["source"].to_pylist()),
        "difficulty": _named(table["difficulty"].to_pylist()),
        "prompt tokens": _quarters(column(table, "prompt_tokens")),
        "response tokens": _quarters(lengths),
    }

    def group(name: str, members: NDArray[np.bool_]) -> Group:
        mean = float(rate[members].mean())
        return Group(name, int(members.sum()), mean, _independent(signal[members]))

    return {
        kind: [
            group(name, np.asarray(names) == name)
            for name in (_by_length if kind.endswith("tokens") else _by_size)(names)
        ]
        for kind, names in labels.items()
        if len(set(names)) > 1
    }


def _named(values: list[Any]) -> list[str]:
    """Name each problem's group; the smallest groups become ``others``."""
    names = ["not given" if value is None else str(value) for value in values]
    by_size = sorted(set(names), key=lambda name: (-names.count(name), name))
    kept = set(by_size if len(by_size) <= _MOST_GROUPS else by_size[: _MOST_GROUPS - 1])
    return [name if name in kept else _OTHERS for name in names]


def _quarters(lengths: Floats) -> list[str]:
    """Name each problem's quarter by its shortest and longest, such as ``12 to 30``.

    Example:
        >>> _quarters(np.array([1.0, 2.0, 2.0, 3.0, 9.0]))
        ['1 to 2', '1 to 2', '1 to 2', '3', '9']
    """
    edges = np.quantile(lengths, [0.25, 0.5, 0.75])
    quarter = np.searchsorted(edges, lengths, side="left")
    names = {}
    for number in set(quarter.tolist()):
        low, high = (_length(end(lengths[quarter == number])) for end in (np.min, np.max))
        names[number] = low if low == high else f"{low} to {high}"
    return [names[number] for number in quarter.tolist()]


def _length(tokens: float) -> str:
    return f"{tokens:.3g}" if tokens < 999.5 else f"{tokens:,.0f}"


def _by_size(names: Sequence[str]) -> list[str]:
    """List the groups, the largest first; ``others`` come last."""
    return sorted(set(names), key=lambda name: (name == _OTHERS, -names.count(name), name))


def _by_length(names: Sequence[str]) -> list[str]:
    """List the groups of `_quarters`, the shortest first.

    Example:
        >>> _by_length(["1,200 to 1,300", "9 to 80", "9 to 80"])
        ['9 to 80', '1,200 to 1,300']
    """
    return sorted(set(names), key=lambda name: float(name.split()[0].replace(",", "")))
