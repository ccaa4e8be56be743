"""Bring recorded rewards to a scale from 0, wrong, to 1, right; or name the one that is outside."""

import math
from dataclasses import replace

from learnalign.errors import LearnAlignError
from learnalign.rollouts.imports.formats import counts
from learnalign.rollouts.imports.record import Record

#: Sums of weighted rewards are rounded: 0.7 + 0.2 + 0.1 is a little below 1, other sums above.
_ROUNDING = 1e-6


def scaled(
    files: list[list[Record]], scale: tuple[float, float] | None = None
) -> list[list[Record]]:
    """Map rewards linearly, so that the lowest of a scale is 0 and the highest 1.

    Args:
        files: The records of each file. Plain counts and NaN or infinite rewards stay as they are.
        scale: The lowest and the highest reward; 0 and 1 if None.

    Raises:
        LearnAlignError: for a reward outside of the scale; names its file and row.

    Example:
        >>> one = Record("f, line 1", "plain", {"id": "a"}, (), None, 3, "4", reward=-1.0)
        >>> scaled([[one]], (-1.0, 1.0))[0][0].reward
        0.0
    """
    low, high = (0.0, 1.0) if scale is None else scale
    return [[_scaled(record, low, high, files) for record in file] for file in files]


def _scaled(record: Record, low: float, high: float, files: list[list[Record]]) -> Record:
    reward = record.reward
    if reward is None or not math.isfinite(reward) or record.format == counts.FORMAT.name:
        return record
    share = (reward - low) / (high - low)
    if not -_ROUNDING <= share <= 1.0 + _ROUNDING:
        raise _outside(record, low, high, files)
    share = min(1.0, max(0.0, share))
    return record if share == reward else replace(record, reward=share)


def _outside(record: Record, low: float, high: float, files: list[list[Record]]) -> LearnAlignError:
    known = [r.reward for file in files for r in file if r.reward is not None]
    finite = [reward for reward in known if math.isfinite(reward)]
    least, most = min(finite), max(finite)
    return LearnAlignError(
        f"{record.location}: the reward is {record.reward:g}; the import's are from {least:g} to "
        f"{most:g}",
        expected=f"rewards from {low:g} (wrong) to {high:g} (right)",
        do="state the lowest and the highest that there can be (--set "
        f"rollouts.recorded_scale=[{min(least, low):g},{most:g}]); if a bonus for the form is "
        "part of it, name the column of the verifier's score instead (--set "
        "rollouts.recorded_reward=COLUMN), or let a verifier judge (--set "
        "rollouts.recorded_reward=false)",
    )
