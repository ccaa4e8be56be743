"""Exports to new folders."""

import pyarrow as pa
import pytest

from helpers.exports import questions, ranked
from learnalign.formats.export import export
from learnalign.tables import PROBLEMS


@pytest.fixture
def run(tmp_path):
    """Export to a new folder; shards of three rows."""

    def call(kind, problems=None, *, selected=(7, 2, 5, 0), originals=None, out="out", **options):
        problems = questions() if problems is None else problems
        table = pa.Table.from_pylist(problems, schema=PROBLEMS)
        shards = [table.slice(start, 3) for start in range(0, len(problems), 3)]
        options.setdefault("scores", ranked(problems, selected))
        done = export(
            tmp_path / out,
            kind,
            problems=lambda: iter(shards),
            sources=lambda index: (originals or {}).get(index),
            about={"model": "m"},
            **options,
        )
        return done, tmp_path / out

    return call
