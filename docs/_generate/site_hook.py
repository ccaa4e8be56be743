"""The site's build hook: generated pages, formulas as MathML, links to files outside docs."""

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


def architecture_page() -> str:
    """Turn CONTRIBUTING.md, which is at the top where people look for it, into a page."""
    text = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?!https?:|#)(?:docs/)?([^)]+)\)", _from_contributing, text)
    about = (
        "Where things are in the code, and the rules for a change. "
        "[Extending it](extending.md) has worked examples."
    )
    _, rest = text.split("\n", 1)
    return f"# Architecture and rules\n\n{about}\n{rest}"


def _from_contributing(link: re.Match[str]) -> str:
    return f"](../{link[1]})" if "](docs/" in link[0] else f"](../../{link[1]})"


#: Generated pages: from the code, and one from CONTRIBUTING.md.
PAGES: dict[str, Callable[[], str]] = {
    "contributing/architecture.md": architecture_page,
    "reference/command-line.md": command_line_page,
    "reference/options.md": configuration_page,
    "reference/tables.md": tables_page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, make in PAGES.items():
        # Help texts name pages by their paths.
        linked = re.sub(r"docs/((?:\w+)/([a-z-]+)\.md)", r"[\2](../\1)", make())
        files.append(File.generated(config, name, content=linked))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show a link to a file outside the docs as its path: the site does not contain that file."""
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
