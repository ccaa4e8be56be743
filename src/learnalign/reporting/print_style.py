"""Figures for print: one style, and files whose bytes depend on the data alone."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, Literal

from learnalign.errors import LearnAlignError

FileKind = Literal["svg", "png", "pdf"]

#: Okabe and Ito's colours; chosen problems differ from the others in lightness and shape, too.
CHOSEN, REST, LINE = "#0072B2", "#A9B1BA", "#D55E00"
NAMED = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
#: Points beyond which a vector file has them as an image.
MANY = 5000

_STYLE: dict[str, Any] = {
    "figure.dpi": 300,
    "savefig.dpi": 300,
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # outlines that printers accept
    "svg.hashsalt": "learnalign",
}
#: Dates would make every file different.
_METADATA: dict[FileKind, dict[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}


def drawn(draw: Callable[[Any], None], kind: FileKind, width: float, height: float) -> bytes:
    """Draw a figure and return it as a file.

    Args:
        draw: Draws on an empty figure.
        kind: The file's format.
        width: Inches.
        height: Inches.

    Raises:
        LearnAlignError: if matplotlib is not installed.

    Example:
        >>> drawn(lambda figure: None, "png", 1.0, 1.0)[1:4]
        b'PNG'
    """
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
    except ImportError as error:
        raise LearnAlignError(
            "matplotlib is not installed",
            expected="the package that draws figures for print",
            do="run `pip install 'learnalign[plot]'`",
        ) from error
    out = BytesIO()
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        figure.savefig(out, format=kind, metadata=_METADATA[kind])
    return out.getvalue()
