"""Write the page: one self-contained file, or a folder for `learnalign.exploring.server`.

Text of models and data is untrusted. It is inside compressed blocks, which the page's scripts put
on the page as text, never as markup; and the content security policy allows only our own scripts,
by their hashes.
"""

import base64
import re
from importlib.resources import files as package_files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from learnalign.exploring.pool import Block, Pool
from learnalign.reporting.report import script_hash
from learnalign.storage import files
from learnalign.storage.folders import atomic_folder
from learnalign.storage.paths import require_local, store_errors
from learnalign.storage.replacing import require_replaceable

#: The page's name in a run's folder.
NAME = "explore.html"
#: Names of a served page's files: blocks, and the page itself.
SERVED = re.compile(r"[\w-]+\.gz|index\.html")
_KIND = "a page of `learnalign explore`"
#: Bytes from the beginning of the page, and what in them says which ranking it shows.
_HEAD, _RANKING = 4096, re.compile(r'name="learnalign-ranking" content="(\w*)"')
#: Our scripts, in the order in which they are one.
SCRIPTS = (
    "data",
    "fields",
    "state",
    "controls",
    "colours",
    "filters",
    "map",
    "lasso",
    "figures",
    "table",
    "problem",
    "save",
    "main",
)


def write_file(path: Path, pool: Pool, most: int) -> bool:
    """Write the page as one file, atomically, unless its blocks are larger than ``most`` bytes.

    Returns:
        Whether it was written.

    Raises:
        LearnAlignError: if something else is there.
    """
    check_file(path)
    blocks, size = pool.head(served=False), 0
    for block in pool.texts():
        size += len(block[1])
        if size > most:
            return False
        blocks.append(block)
    files.write_text(path, render(pool.title, blocks, pool.ranking))
    return True


def write_folder(path: Path, pool: Pool) -> None:
    """Write the page and its blocks into a folder, atomically.

    Raises:
        LearnAlignError: if something else is there.
    """
    check_folder(path)
    with atomic_folder(path) as temporary:
        for name, data in [*pool.head(served=True), *pool.texts()]:
            (temporary / f"{name}.gz").write_bytes(data)
        (temporary / "index.html").write_text(
            render(pool.title, [], pool.ranking), encoding="utf-8"
        )


def check_file(path: Path) -> None:
    """Reject a file's path where something other than an earlier page is, which stays."""
    require_replaceable(
        path,
        lambda there: shown_ranking(there) is not None,
        kind=_KIND,
        expected="a new file, or an earlier page",
        do="choose another file with --out, or move this one",
    )


def check_folder(path: Path) -> None:
    """Reject a folder's path where something other than an earlier page is, which stays."""
    require_local(path, "a page that is served")
    require_replaceable(
        path,
        _is_served_page,
        kind=_KIND,
        expected="a new folder, or an earlier page's; it has the name of --out without .html",
        do="choose another name with --out, or move this one",
    )


def _is_served_page(path: Path) -> bool:
    """Whether a folder is empty, or has a page and its blocks and nothing else."""
    if not path.is_dir():
        return False
    inside = list(path.iterdir())
    own = all(one.is_file() and SERVED.fullmatch(one.name) for one in inside)
    return not inside or (own and shown_ranking(path / "index.html") is not None)


def shown_ranking(path: Path) -> str | None:
    """Return the ranking that a page shows, as `learnalign.exploring.pool.Pool`; None without one.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / NAME
        >>> shown_ranking(path)
        >>> _ = path.write_text(render("A pool", [], "51ab"))
        >>> shown_ranking(path)
        '51ab'
    """
    if not files.is_file(path):
        return None
    with store_errors(path), path.open("rb") as file:
        found = _RANKING.search(file.read(_HEAD).decode("utf-8", "replace"))
    return found[1] if found else None


def render(title: str, blocks: list[Block], ranking: str) -> str:
    """Render the page as text, with ``blocks`` inside."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    libraries, own = _part("page/libraries.js"), _own_script()
    return environment.from_string(_part("page/page.html.j2")).render(
        title=title,
        ranking=ranking,
        css=Markup(_part("page/libraries.css") + _part("page/page.css")),
        libraries=Markup(libraries),
        script=Markup(own),
        hashes=Markup(f"{script_hash(libraries)} {script_hash(own)}"),
        blocks=[(name, Markup(base64.b64encode(data).decode())) for name, data in blocks],
    )


def _own_script() -> str:
    parts = "\n".join(_part(f"page/{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


def _part(name: str) -> str:
    return package_files(__package__).joinpath(name).read_text(encoding="utf-8")
