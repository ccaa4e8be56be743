"""Extras: an error names one that exists, and the page on installing lists them all."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
)


def _named(text: str) -> set[str]:
    """The extras that a text tells to install, of the package or of a checkout."""
    found = re.findall(r"pip install\b[^\n]*?(?:learnalign|\.)\[([^\]]*)\]", text)
    return {name.strip() for names in found for name in names.split(",")}


def test_they_are_found_in_text() -> None:
    assert _named("do=\"pip install 'learnalign[a, b-c]'\"") == {"a", "b-c"}
    assert _named(r"""f"pip install 'learnalign[{extra}]'" """) == {"{extra}"}
    assert _named("$ pip install -e '.[d]' jupyterlab") == {"d"}


def test_every_message_names_one_that_exists() -> None:
    sources = sorted((ROOT / "src").rglob("*.py"))
    named = {path: _named(path.read_text()) for path in sources}
    assert set().union(*named.values()) >= {"gym", "lora", "ray", "remote", "server", "vllm"}
    for path, names in named.items():
        assert names <= EXTRAS, path


def test_every_page_names_one_that_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in (*pages, ROOT / "Makefile"):
        assert _named(page.read_text()) <= EXTRAS, page


def test_the_page_on_installing_lists_them_all() -> None:
    text = (ROOT / "docs" / "start" / "install.md").read_text()
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE)
    assert sorted(listed) == sorted(EXTRAS)
