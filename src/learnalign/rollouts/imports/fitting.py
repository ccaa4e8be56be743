"""Count the rollouts that another policy sampled, or with other settings than the run's."""

from collections import Counter
from collections.abc import Iterable
from math import isclose

from learnalign.rollouts.imports.record import Record


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
        ``other_model``, ``other_sampling`` (temperature or top_p), and ``mixed`` (the policy was
        updated while the rollout was sampled).

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
    return counts


def _fits(theirs: float | None, ours: float) -> bool:
    return theirs is None or isclose(theirs, ours, abs_tol=1e-6)


def _name(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2].lower()
