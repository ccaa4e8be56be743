"""Human-readable numbers, and the headline and tiles at the top of the report."""

from typing import Any

import numpy as np
import pyarrow as pa

from learnalign.reporting.stats import StageCost, Tile, chosen, numbers
from learnalign.terminal.durations import duration

METHODS = {
    "signal": "at random among the problems with a signal",
    "learnalign": "learnability times gradient alignment",
    "learnability": "learnability p(1-p) alone",
    "alignment": "gradient alignment alone",
    "inner_product": "the raw inner product of gradients",
    "gradalign": "alignment with a validation set",
    "diverse": "learnability times alignment, minus similarity to already chosen problems",
    "facility_location": "coverage of the pool's gradients",
    "features": "learnability times alignment of hidden states",
    "perplexity_top": "highest prompt perplexity",
    "perplexity_middle": "medium prompt perplexity",
    "ifd": "instruction-following difficulty",
    "token_length": "prompt length",
    "selectit": "the model's own rating",
    "limr": "similarity to the training's learning curve",
    "history_variance": "variance of success rates over a training",
    "band": "a band of success rates",
    "random": "at random, as a control",
}


def size(num_bytes: float) -> str:
    """Format a number of bytes, in powers of 1000.

    Example:
        >>> [size(b) for b in (12, 4_815_814, 2e12)]
        ['12 B', '4.8 MB', '2.0 TB']
    """
    if num_bytes < 1000:
        return f"{num_bytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        num_bytes /= 1000
        if num_bytes < 999.95:
            return f"{num_bytes:.1f} {unit}"
    return f"{num_bytes / 1000:.1f} TB"


def percent(share: float) -> str:
    """Format a share (0 to 1) with at most one decimal; only 0 is shown as 0 %.

    Example:
        >>> [percent(s) for s in (0.0, 0.0004, 0.3333, 0.25, 1.0)]
        ['0 %', '<0.1 %', '33.3 %', '25 %', '100 %']
    """
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def figure(value: float | None) -> str:
    """Format a measured value with three significant digits, or a dash if it is missing.

    Example:
        >>> [figure(v) for v in (0.0123456, 0.5, 1234.5, None, float("nan"))]
        ['0.0123', '0.5', '1,234', '—', '—']
    """
    if value is None or not np.isfinite(value):
        return "—"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def headline(config: dict[str, Any], scores: pa.Table) -> str:
    """Summarize the selection in one sentence: how many of how many, method, and model."""
    method = config["selection"]["method"]
    by = f"by {method} ({METHODS[method]})" if method in METHODS else f"by {method}"
    model = config["model"]["path"].rstrip("/").rsplit("/", 1)[-1] or "an unnamed model"
    return (
        f"{int(chosen(scores).sum()):,} of {scores.num_rows:,} problems were chosen {by}, "
        f"for {model}."
    )


def tiles(scores: pa.Table, summary: dict[str, Any], total: StageCost) -> list[Tile]:
    """Return the key numbers, with a dash for any that was not measured."""
    selected = chosen(scores)
    n, k = scores.num_rows, int(selected.sum())
    signal = int((numbers(scores, "learnability") > 0).sum())
    rate = numbers(scores, "success_rate")
    overlap = (summary.get("stability") or {}).get("expected_overlap")
    return [
        Tile("chosen", f"{k:,} of {n:,}", percent(k / n) + " of the pool" if n else ""),
        Tile("with signal", f"{signal:,}", percent(signal / n) + " of the pool" if n else ""),
        Tile("mean success rate", _mean(rate[selected]), f"chosen; pool {_mean(rate)}"),
        Tile("stability", "—", "not measured")
        if overlap is None
        else Tile("stability", percent(overlap), "expected overlap with a re-run"),
        Tile("time", duration(total.seconds), "all stages"),
        Tile("tokens", f"{total.tokens:,}", "sampling and gradients"),
    ]


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():.3f}" if len(known) else "—"
