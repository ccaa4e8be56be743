"""What README and docs say is so: examples run, commands parse, tables name the real columns."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

from learnalign import tables
from learnalign.cli.main import cli
from learnalign.config import SelectionConfig
from learnalign.config.load import load_config
from learnalign.selecting.methods.registry import METHODS
from site_hook import PAGES as GENERATED_PAGES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]

#: Pages that the site makes from the code: `test_site.py` looks at them.
GENERATED = {ROOT / "docs" / name for name in GENERATED_PAGES}


def _commands(text: str) -> list[list[str]]:
    """Every command line of LearnAlign in the indented blocks and fences of a page."""
    found = []
    lines = iter(text.splitlines())
    for line in lines:
        if re.match(r"(    )?learnalign ", line):
            # An open quote goes on in the next line.
            while line.count("'") % 2:
                line += "\n" + next(lines).strip()
            found.append(shlex.split(line, comments=True)[1:])
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_examples_run(page: Path) -> None:
    failed, _ = doctest.testfile(str(page), module_relative=False)
    assert failed == 0


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_are_understood(page: Path) -> None:
    for verb, *arguments in _commands(page.read_text()):
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None, verb
        # Parses as the command line does, and calls nothing.
        context = command.make_context(verb, arguments)
        for pair in context.params.get("sets") or ():
            load_config(sets=[pair])


def test_there_are_commands_to_check() -> None:
    verbs = {words[0] for page in PAGES for words in _commands(page.read_text())}
    assert verbs >= {"select", "prompt", "score", "export", "inspect"}
    with pytest.raises(click.NoSuchOption):
        importlib.import_module("learnalign.cli.select").command.make_context("select", ["--n"])


def _anchors(page: Path) -> set[str]:
    """The anchors that the site and GitHub make of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", t).strip().lower()) for t in titles}


#: What is no page of the docs, and links to them.
OTHERS = [ROOT / "CHANGELOG.md", *sorted((ROOT / "recipes").rglob("*.md"))]


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        made = (page.parent / target).resolve() if target else page
        if made in GENERATED:
            continue
        assert made.exists(), target
        if anchor:
            assert anchor in _anchors(made), f"{target}#{anchor}"


def test_make_verbs_of_the_readme() -> None:
    verbs = re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text())
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(verbs) <= set(known)


def test_configurations_load(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "guides" / "configuration.md").read_text()
    found = re.findall(r"```(yaml|toml)\n(.*?)```", text, re.DOTALL)
    assert {kind for kind, _ in found} == {"yaml", "toml"}
    for kind, block in found:
        (tmp_path / f"c.{kind}").write_text(block)
        assert load_config(tmp_path / f"c.{kind}").model.path == "my/model"


@pytest.mark.parametrize(
    ("title", "schemas"),
    [
        ("`scores.parquet`", [tables.SCORES]),
        ("`rollouts/` and `verdicts/`", [tables.ROLLOUTS, tables.VERDICTS]),
        ("`problems/` and `excluded/`", [tables.PROBLEMS, tables.EXCLUDED]),
        ("`features/`", [tables.features_schema(16)]),
    ],
)
def test_columns_are_those_of_the_tables(title: str, schemas: list[tables.pa.Schema]) -> None:
    text = (ROOT / "docs" / "reference" / "run-folder.md").read_text()
    (section,) = re.findall(rf"## {re.escape(title)}\n(.*?)(?=\n## |\Z)", text, re.DOTALL)
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {name for cell in first for name in re.findall(r"`([a-z_]+)`", cell)}
    assert named == {name for schema in schemas for name in schema.names}


def test_methods_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "concepts" / "methods.md").read_text()
    named = re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)
    assert sorted(named) == sorted(METHODS)
    assert all(name in (SelectionConfig.model_fields["method"].description or "") for name in named)


def test_reasons_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "guides" / "problems.md").read_text()
    text = page.split("## What leaves the pool")[1]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = {name for cell in rows for name in re.findall(r"`([a-z]+_?[a-z_]*)`", cell)}
    code = "".join(p.read_text() for p in (ROOT / "src" / "learnalign").rglob("*.py"))
    for reason in named:
        assert f'"{reason}"' in code, reason
    written = set(re.findall(r'"reason": "([a-z_]+)"|"([a-z_]+)", detail\)', code))
    assert {a or b for a, b in written} <= named


@pytest.mark.parametrize(
    ("page", "file", "schema"),
    [
        ("training.md", "history/", tables.HISTORY),
        ("training.md", "steps/", tables.STEPS),
        ("evaluating.md", "evaluation.parquet", tables.EVALUATION),
    ],
)
def test_columns_of_a_row_are_those_of_the_table(
    page: str, file: str, schema: tables.pa.Schema
) -> None:
    text = (ROOT / "docs" / "guides" / page).read_text()
    (line,) = [row for row in text.splitlines() if row.startswith(f"| `{file}` |")]
    assert re.findall(r"`([a-z_]+)`", line.split("|")[2]) == schema.names
