"""Figures for print: one style, and files whose bytes depend on the data alone."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

from learnalign.errors import LearnAlignError
from learnalign.storage import files
from learnalign.storage.paths import store_errors

FileKind = Literal["svg", "png", "pdf"]
KINDS: tuple[FileKind, ...] = get_args(FileKind)

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
#: In every file, as the program that made it.
_MADE_BY = "learnalign plot"
#: Dates would make every file different.
_METADATA: dict[FileKind, dict[str, str | None]] = {
    "svg": {"Creator": _MADE_BY, "Date": None},
    "pdf": {"Creator": _MADE_BY, "CreationDate": None},
    "png": {"Software": _MADE_BY},
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


def is_drawn(path: Path) -> bool:
    """Return whether a file is a figure that `drawn` made.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "map.svg"
        >>> is_drawn(path)
        False
        >>> _ = path.write_bytes(drawn(lambda figure: None, "svg", 1.0, 1.0))
        >>> is_drawn(path)
        True
    """
    if not files.is_file(path):
        return False
    with store_errors(path):
        return _MADE_BY.encode() in path.read_bytes()
