"""Make the page that looks into a pool, as a file or served, and save subsets from it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.exploring.page import NAME, check_file, check_folder, write_file, write_folder
from learnalign.exploring.server import PageServer
from learnalign.exploring.subsets import save_subset
from learnalign.runs.folder import RunFolder
from learnalign.storage import files
from learnalign.terminal.progress import Progress
from learnalign.workflows.explore_histories import expanded, is_training
from learnalign.workflows.explored_pool import read_pool
from learnalign.workflows.select import report

#: Bytes of a page up to which it is one file.
MAX_FILE = 64 * 2**20


@dataclass(frozen=True)
class Explored:
    """The finished page."""

    path: Path
    """The file, or the folder that `learnalign.exploring.server` serves."""
    runs: list[Path]
    """Its selections, in whose folders it saves subsets; the first sets the map."""
    problems: int

    @property
    def is_folder(self) -> bool:
        """Whether the page needs to be served."""
        return self.path.suffix != ".html"


def explore(
    runs: Sequence[Path],
    *,
    out: Path | None = None,
    served: bool = False,
    with_umap: bool = False,
    progress: Progress,
) -> Explored:
    """Make the page of one or several runs.

    Args:
        runs: Folders of finished selections, the first of which sets the map; of trainings, whose
            history is shown for each problem; and of stages, which are both.
        out: The file; default ``explore.html`` in the first run's folder. A folder is made beside
            it, without the suffix, where the page is served or too large for one file.
        served: Make a folder to serve, whatever the size.
        with_umap: Also place the problems by UMAP.
        progress: Shows the parts.

    Raises:
        LearnAlignError: if a folder is neither a finished selection nor a training, the file's name
            does not end in ``.html``, or something other than an earlier page is there.
    """
    if out is not None and out.suffix != ".html":
        raise LearnAlignError(
            f"got --out {out}", expected="a file that ends in .html", do="rename it"
        )
    target = out or next((path for path in runs if not is_training(path)), runs[0]) / NAME
    folder = target.with_suffix("")
    if served:
        check_folder(folder)
    else:
        check_file(target)
    pool = read_pool(runs, with_umap=with_umap, progress=progress)
    shown = [path for path in expanded(runs) if not is_training(path)]
    if not served and write_file(target, pool, MAX_FILE):
        _link(shown[0], target)
        return Explored(target, shown, len(pool.ids))
    write_folder(folder, pool)
    return Explored(folder, shown, len(pool.ids))


def _link(run: Path, page: Path) -> None:
    """Write the run's report again, which links to the page beside it."""
    if page == run / NAME and files.is_file(run / "report.html"):
        report(RunFolder(run), load_config(run / "config.yaml", overrides={"run.out": str(run)}))


def serve(done: Explored, *, port: int, say: Callable[[str], None]) -> None:
    """Serve the page until it is interrupted; what it saves goes to ``subsets`` of a run.

    Args:
        done: A page in a folder.
        port: The port; 0 for a free one.
        say: Called with the address once the page can be opened.
    """
    with PageServer(done.path, partial(save_subset, done.runs), port) as server:
        say(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
