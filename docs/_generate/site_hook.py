"""What the site adds to the pages while it is built: the reference, formulas, links out of docs."""

import re
from collections.abc import Callable
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from command_line_page import command_line_page
from configuration_page import configuration_page
from tables_page import tables_page

_ROOT = Path(__file__).resolve().parents[2]
#: A formula as `pymdownx.arithmatex` marks it.
_MARKED = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\(?P<sign>[(\[])(?P<tex>.*?)\\[)\]]</(?P=tag)>',
    re.DOTALL,
)


def house_page() -> str:
    """Take CONTRIBUTING.md, which lies at the top for those who look there, as a page."""
    text = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?!https?:|#)(?:docs/)?([^)]+)\)", _from_contributing, text)
    about = (
        "With this page you find where something is in the code, and what a change must hold to. "
        "[Extending it](extending.md) has worked examples."
    )
    _, rest = text.split("\n", 1)
    return f"# The house\n\n{about}\n{rest}"


def _from_contributing(link: re.Match[str]) -> str:
    return f"](../{link[1]})" if "](docs/" in link[0] else f"](../../{link[1]})"


#: Pages that are made from the code, and one from a file at the top.
PAGES: dict[str, Callable[[], str]] = {
    "contributing/house.md": house_page,
    "reference/command-line.md": command_line_page,
    "reference/options.md": configuration_page,
    "reference/tables.md": tables_page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    for name, make in PAGES.items():
        # Help texts name pages by their paths.
        linked = re.sub(r"docs/((?:\w+)/([a-z-]+)\.md)", r"[\2](../\1)", make())
        files.append(File.generated(config, name, content=linked))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show a link to a file outside the docs as that file's path: the site does not hold it."""
    docs = Path(config.docs_dir)

    def shown(link: re.Match[str]) -> str:
        target = (docs / page.file.src_uri).parent.joinpath(link[2]).resolve()
        if target.is_relative_to(docs) or not target.is_relative_to(docs.parent):
            return link[0]
        return f"{link[1]} (`{target.relative_to(docs.parent).as_posix()}`)"

    return re.sub(r"(?<!!)\[([^\]\n]+)\]\((\.\./[^)#\s]+)\)", shown, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write formulas as MathML, which browsers show without a script."""

    def formula(found: re.Match[str]) -> str:
        tex = found["tex"].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return convert(tex, display="block" if found["sign"] == "[" else "inline")

    return _MARKED.sub(formula, html)
