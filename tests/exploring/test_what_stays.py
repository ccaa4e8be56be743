"""A page replaces an earlier page alone: any other file or folder stays as it is."""

from pathlib import Path

import pytest

from helpers.run_folder import write_run
from helpers.synthetic_run import synthetic_run
from learnalign.errors import LearnAlignError
from learnalign.terminal.progress import Progress
from learnalign.workflows.explore import explore

QUIET = Progress("none")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stays")
    return write_run(folder / "run", synthetic_run(num_problems=12, budget=3))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("served", [False, True])
def test_an_earlier_page_is_replaced(run: Path, tmp_path: Path, served: bool) -> None:
    out = tmp_path / "page.html"
    first = explore([run], out=out, served=served, progress=QUIET)
    made = contents(tmp_path)
    again = explore([run], out=out, served=served, progress=QUIET)
    assert again.path == first.path == (tmp_path / "page" if served else out)
    assert contents(tmp_path) == made


@pytest.mark.parametrize("served", [False, True])
def test_another_file_stays(run: Path, tmp_path: Path, served: bool) -> None:
    out = tmp_path / "mine.html"
    (tmp_path / "mine" if served else out).write_text("<p>mine")
    before = contents(tmp_path)
    with pytest.raises(LearnAlignError, match="is not a page of `learnalign explore`"):
        explore([run], out=out, served=served, progress=QUIET)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("beside", ["notes.txt", "page.gz/notes.txt"])
def test_a_folder_with_more_than_a_page_stays(run: Path, tmp_path: Path, beside: str) -> None:
    done = explore([run], out=tmp_path / "page.html", served=True, progress=QUIET)
    (done.path / beside).parent.mkdir(exist_ok=True)
    (done.path / beside).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(LearnAlignError, match="move this one"):
        explore([run], out=tmp_path / "page.html", served=True, progress=QUIET)
    assert contents(tmp_path) == before


def test_a_run_is_no_page(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is named like the file; `--out run.html` must not put it in the run's place."""
    before = contents(run)
    for most in (None, 0):  # to be served, and too large for one file
        if most is not None:
            monkeypatch.setattr("learnalign.workflows.explore.MAX_FILE", most)
        out = run.with_suffix(".html")
        with pytest.raises(LearnAlignError, match=f"{run} exists and is not a page"):
            explore([run], out=out, served=most is None, progress=QUIET)
    assert contents(run) == before
