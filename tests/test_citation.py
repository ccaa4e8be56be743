"""The citation file is whole, and says of this package what the package says of itself."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import learnalign

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    return tree


def test_it_has_what_the_format_requires(citation: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    for part in (citation, *citation["references"]):
        assert part["title"]
        assert part["authors"]
        assert all("name" in author or "family-names" in author for author in part["authors"])
    assert citation["message"]
    assert all(reference["type"] for reference in citation["references"])


def test_it_is_this_package(citation: dict[str, Any]) -> None:
    assert citation["version"] == PROJECT["version"] == learnalign.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    assert PROJECT["description"].startswith(citation["abstract"].partition(":")[0])


def test_the_paper_is_the_one_that_the_docs_name(citation: dict[str, Any]) -> None:
    (paper,) = citation["references"]
    (preprint,) = (one["value"].removeprefix("arXiv:") for one in paper["identifiers"])
    for page in ("README.md", "docs/concepts/method.md"):
        assert preprint in (ROOT / page).read_text(), page
