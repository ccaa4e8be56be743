"""Keep as many rollouts as a run wants, and count those that were sampled in another way."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import isclose

from learnalign.config import RolloutConfig
from learnalign.rollouts.imports.joining import Group
from learnalign.rollouts.imports.record import Record


def fitted(
    groups: Mapping[str, Group], config: RolloutConfig, *, model: str | None
) -> tuple[dict[str, Group], Counter[str]]:
    """Keep each problem's first ``num_rollouts``, in the order of the files; of counts, all.

    Returns:
        The groups; and counts: ``surplus`` (rollouts that are not kept), ``small_groups`` (problems
        with fewer than ``num_rollouts``), and those of `misfits`.

    Example:
        >>> one = Record("f, line 1", "plain", {"id": "a"}, (), None, 3, "4")
        >>> groups, counts = fitted({"a": [one] * 9, "b": [one] * 2}, RolloutConfig(), model=None)
        >>> [len(group) for group in groups.values()], dict(counts)
        ([8, 2], {'surplus': 1, 'small_groups': 1})
    """
    kept: dict[str, Group] = {}
    counts: Counter[str] = Counter()
    for name, group in groups.items():
        kept[name] = group if group[0].is_counted else group[: config.num_rollouts]
        counts["surplus"] += len(group) - len(kept[name])
        counts["small_groups"] += len(group) < config.num_rollouts and not group[0].is_counted
    used = (record for group in kept.values() for record in group)
    counts += misfits(used, model=model, temperature=config.temperature, top_p=config.top_p)
    return kept, counts


def misfits(
    records: Iterable[Record], *, model: str | None, temperature: float, top_p: float
) -> Counter[str]:
    """Count what does not fit a run; what a file does not say is taken to fit.

    Args:
        records: Rollouts that are used.
        model: Path or hub name of the run's model; None if unknown. Only the last part of the
            names is compared: a path and a hub name may be the same model's.
        temperature: The run's temperature.
        top_p: The run's top_p.

    Returns:
        ``other_model``, ``other_sampling`` (temperature or top_p), ``mixed`` (the policy was
        updated while the rollout was sampled), and ``reasons_apart`` (the thinking is no part of
        the text).

    Example:
        >>> one = Record("f, line 1", "plain", {"id": "a"}, (), None, 3, "4", model="org/base")
        >>> dict(misfits([one], model="runs/base", temperature=1.0, top_p=1.0))
        {}
        >>> dict(misfits([one], model="runs/other", temperature=1.0, top_p=1.0))
        {'other_model': 1}
    """
    counts: Counter[str] = Counter()
    for record in records:
        if model is not None and record.model and _name(record.model) != _name(model):
            counts["other_model"] += 1
        if not (_fits(record.temperature, temperature) and _fits(record.top_p, top_p)):
            counts["other_sampling"] += 1
        if record.mixed:
            counts["mixed"] += 1
        if record.reasons_apart:
            counts["reasons_apart"] += 1
    return counts


def _fits(theirs: float | None, ours: float) -> bool:
    return theirs is None or isclose(theirs, ours, abs_tol=1e-6)


def _name(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2].lower()
