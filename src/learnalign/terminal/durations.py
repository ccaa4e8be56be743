"""Human-readable durations and rates."""

import math

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration(seconds: float) -> str:
    """Format a duration in one or two units.

    Args:
        seconds: The duration; negative values count as 0, and NaN and Inf become a dash.

    Example:
        >>> [duration(s) for s in (0.04, 9.26, 90, 285, 720)]
        ['0.0 s', '9.3 s', '90 s', '4 min 45 s', '12 min']
        >>> [duration(s) for s in (3600, 12_000, 187_200, 10_000_000, float("inf"))]
        ['1 h', '3 h 20 min', '2 d 4 h', '115 d 18 h', '—']
    """
    if not math.isfinite(seconds):
        return "—"
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    # Round to the smaller unit before splitting, to avoid 60 s, 60 min or 24 h.
    if round(seconds) < 2 * _MINUTE:
        return f"{round(seconds)} s"
    if round(seconds) < 10 * _MINUTE:
        return _two(round(seconds), (_MINUTE, "min"), (1, "s"))
    minutes = round(seconds / _MINUTE) * _MINUTE
    if minutes < _DAY:
        return _two(minutes, (_HOUR, "h"), (_MINUTE, "min"))
    return _two(round(seconds / _HOUR) * _HOUR, (_DAY, "d"), (_HOUR, "h"))


def rate(count: float, seconds: float) -> str:
    """Format a rate per second, or per minute, hour or day if it is slower than about one.

    Args:
        count: Number of items.
        seconds: Time they took, in seconds.

    Example:
        >>> [rate(c, s) for c, s in ((24, 12), (3, 60), (1, 600), (1, 100_000), (0, 5), (1, 0))]
        ['2.0/s', '3.0/min', '6.0/h', '0.9/d', '—', '—']
    """
    if count <= 0 or seconds <= 0:
        return "—"
    for length, unit in ((1, "s"), (_MINUTE, "min"), (_HOUR, "h")):
        if count * length / seconds >= 0.95:
            return f"{count * length / seconds:,.1f}/{unit}"
    return f"{count * _DAY / seconds:.1f}/d"


def _two(seconds: int, large: tuple[int, str], small: tuple[int, str]) -> str:
    """Split into two units, omitting a unit whose count is 0."""
    counts = (seconds // large[0], seconds % large[0] // small[0])
    parts = zip(counts, (large[1], small[1]), strict=True)
    return " ".join(f"{count:,} {unit}" for count, unit in parts if count)
