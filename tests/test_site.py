"""The docs' site builds without a warning, and its reference holds all that the code has."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from command_line_page import command_line_page
from configuration_page import configuration_page
from learnalign import tables
from learnalign.cli.main import cli
from learnalign.config import Config
from site_hook import PAGES
from tables_page import TABLES, tables_page

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def _section(page: str, title: str) -> str:
    pattern = rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)"
    (found,) = re.findall(pattern, page, re.MULTILINE | re.DOTALL)
    return found


def test_every_page_is_built(site: Path) -> None:
    names = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    for name in [*names, *map(Path, PAGES)]:
        folder = name.parent if name.name == "index.md" else name.with_suffix("")
        assert (site / folder / "index.html").is_file(), name


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loads = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
        for tag in loads:
            assert not re.search(r"(?:src|href)=\"?(?:https?:)?//", tag), f"{page}: {tag}"


def test_formulas_are_mathml(site: Path) -> None:
    page = (site / "concepts" / "method" / "index.html").read_text()
    source = (ROOT / "docs" / "concepts" / "method.md").read_text()
    assert page.count('display="block"') == source.count("$$") // 2
    assert "arithmatex" not in page
    assert "<mfrac>" in page


def test_python_reference_names_the_public_functions(site: Path) -> None:
    import learnalign

    page = (site / "reference" / "python-api" / "index.html").read_text()
    public = set(learnalign.__all__) - {"Config"}  # whose page is the options'
    assert {name for name in public if f'id="learnalign.{name}"' in page} == public


def test_command_line_page_has_every_option() -> None:
    page = command_line_page()
    top = click.Context(cli, info_name="learnalign")
    for verb in cli.list_commands(top):
        command = cli.get_command(top, verb)
        assert command is not None
        section = _section(page, verb)
        shown = re.findall(r"^\| ((?:`-[^`]+`(?:, )?)+) \|", section, re.MULTILINE)
        named = {name for cell in shown for name in re.findall(r"`([^`]+)`", cell)}
        options = [
            option
            for option in command.get_params(click.Context(command, info_name=verb, parent=top))
            if isinstance(option, click.Option)
        ]
        assert named == {name for o in options for name in (*o.opts, *o.secondary_opts)}
        assert all(option.help for option in options), verb


def test_configuration_page_has_every_field() -> None:
    page = configuration_page()
    for name, field in Config.model_fields.items():
        rows = re.findall(
            r"^\| `([a-z_.]+)` \| (.+?) \| (.*?) \| (.+) \|$", _section(page, name), re.MULTILINE
        )
        options = field.annotation.model_fields  # type: ignore[union-attr]
        assert [row[0] for row in rows] == [f"{name}.{option}" for option in options]
        assert all(kind and about for _, kind, _, about in rows)


def test_configuration_page_has_types_and_defaults() -> None:
    page = configuration_page()
    for start in (
        "| `rollouts.num_rollouts` | whole number above 0 | `8` |",
        "| `rollouts.spend` | `full`, `auto` | `full` |",
        "| `selection.band` | 2 times number | `[0.2, 0.8]` |",
        "| `data.paths` | list of text |  |",
        "| `rollouts.top_p` | number above 0 and at most 1 | `1.0` |",
        "| `run.out` | path | `runs/select` |",
        "| `data.keep_near_duplicates` | true or false | `false` |",
    ):
        assert f"\n{start}" in page, start


def test_tables_page_has_every_column() -> None:
    page = tables_page()
    for place, schema in TABLES.items():
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", _section(page, place), re.MULTILINE)
        assert [row[0] for row in rows] == schema.names


def test_tables_page_has_every_table() -> None:
    schemas = [value for value in vars(tables).values() if isinstance(value, tables.pa.Schema)]
    assert all(any(schema is shown for shown in TABLES.values()) for schema in schemas)


def test_columns_have_meanings() -> None:
    page = tables_page()
    for place, column, meaning in (
        ("problems/", "prompt_ids", "exactly the token ids the model sees"),
        ("steps/", "kl", "mean over tokens, to the reference; null without a reference"),
        ("round-N/", "finish_reason", '"stop" (end token or stop string) or "length"'),
        ("references/", "logprobs", "as in ROLLOUTS, under the reference"),
        ("excluded/", "detail", "more on the reason, such as what was read"),
    ):
        (row,) = re.findall(rf"^\| `{column}` \|.*\| (.+) \|$", _section(page, place), re.MULTILINE)
        assert row == meaning
