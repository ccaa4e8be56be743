"""The docs' table of formats is the registry's, and no two formats claim the same rows."""

from pathlib import Path

import pytest

from learnalign.rollouts.imports.registry import FORMATS, docs_table, format_of

DOCS = Path(__file__).parents[3] / "docs" / "concepts" / "rollouts.md"


def test_the_docs_have_the_registrys_table() -> None:
    table = DOCS.read_text().partition("<!-- formats -->\n")[2].partition("\n<!-- end")[0]
    assert table == docs_table()
    assert table.count("\n") == len(FORMATS) + 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_with_a_formats_columns_is_of_that_format(name: str) -> None:
    for columns in FORMATS[name].columns:
        assert format_of(dict.fromkeys(columns, 1)).name == name
