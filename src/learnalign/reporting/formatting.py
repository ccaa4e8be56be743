"""Numbers as a person reads them, and the sentence and tiles at the top of the report."""

from typing import Any

import numpy as np
import pyarrow as pa

from learnalign.reporting.stats import StageCost, Tile, chosen, numbers
from learnalign.terminal.durations import duration

METHODS = {
    "learnalign": "learnability times gradient alignment",
    "learnability": "learnability p(1-p) alone",
    "alignment": "gradient alignment alone",
    "inner_product": "the raw inner product of gradients",
    "gradalign": "alignment with a validation set",
    "diverse": "learnability times alignment, less what is chosen already",
    "facility_location": "how well the chosen cover the pool's gradients",
    "features": "learnability times alignment of hidden states",
    "perplexity_top": "the prompt's perplexity",
    "perplexity_middle": "middling perplexity of the prompt",
    "ifd": "instruction-following difficulty",
    "token_length": "the prompt's length",
    "selectit": "the model's own rating",
    "limr": "nearness to the training's learning curve",
    "history_variance": "variance over a training",
    "band": "a band of success rates",
    "random": "chance, as a control",
}


def size(num_bytes: float) -> str:
    """Write a number of bytes, in powers of 1000.

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
    """Write a share (0 to 1) with one decimal at most; what is not nothing never reads as 0 %.

    Example:
        >>> [percent(s) for s in (0.0, 0.0004, 0.3333, 0.25, 1.0)]
        ['0 %', '<0.1 %', '33.3 %', '25 %', '100 %']
    """
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def figure(value: float | None) -> str:
    """Write a measured value with three significant digits, or a dash where there is none.

    Example:
        >>> [figure(v) for v in (0.0123456, 0.5, 1234.5, None, float("nan"))]
        ['0.0123', '0.5', '1,234', '—', '—']
    """
    if value is None or not np.isfinite(value):
        return "—"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def headline(config: dict[str, Any], scores: pa.Table) -> str:
    """Say in one sentence what was chosen, out of how many, how, and for which model."""
    method = config["selection"]["method"]
    how = f"by {method} ({METHODS[method]})" if method in METHODS else f"by {method}"
    model = config["model"]["path"].rstrip("/").rsplit("/", 1)[-1] or "a model that was not named"
    return (
        f"{int(chosen(scores).sum()):,} of {scores.num_rows:,} problems were chosen {how}, "
        f"for {model}."
    )


def tiles(scores: pa.Table, summary: dict[str, Any], total: StageCost) -> list[Tile]:
    """Make the key numbers; what was not measured is a dash."""
    taken = chosen(scores)
    n, k = scores.num_rows, int(taken.sum())
    signal = int((numbers(scores, "learnability") > 0).sum())
    rate = numbers(scores, "success_rate")
    overlap = (summary.get("stability") or {}).get("expected_overlap")
    return [
        Tile("chosen", f"{k:,} of {n:,}", percent(k / n) + " of the pool" if n else ""),
        Tile("with signal", f"{signal:,}", percent(signal / n) + " of the pool" if n else ""),
        Tile("mean success rate", _mean(rate[taken]), f"chosen; pool {_mean(rate)}"),
        Tile("stability", "—", "not measured")
        if overlap is None
        else Tile("stability", percent(overlap), "expected overlap on resampled rollouts"),
        Tile("time", duration(total.seconds), "all stages"),
        Tile("tokens", f"{total.tokens:,}", "sampled and differentiated"),
    ]


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():.3f}" if len(known) else "—"
