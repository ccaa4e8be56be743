"""The tables' page of the reference, made from the schemas and the comments beside them."""

import inspect
import re

import pyarrow as pa

from learnalign import tables

#: Where a table lies in a run folder (or a training's, or an evaluation's), and its schema.
TABLES: dict[str, pa.Schema] = {
    "problems/": tables.PROBLEMS,
    "rollouts/": tables.ROLLOUTS,
    "verdicts/": tables.VERDICTS,
    "round-N/": tables.ROUNDS,
    "references/": tables.REFERENCES,
    "gradients/": tables.gradients_schema(8192),
    "features/": tables.features_schema(576),
    "scores.parquet": tables.SCORES,
    "excluded/": tables.EXCLUDED,
    "history/": tables.HISTORY,
    "steps/": tables.STEPS,
    "evaluation.parquet": tables.EVALUATION,
}


def tables_page() -> str:
    """Write every table with the types and meanings of its columns."""
    parts = [
        "# Tables and columns",
        "Look up here what each column of a table holds. This page is made from "
        f"`learnalign.tables`, schema version {tables.SCHEMA_VERSION}. Every table is Parquet; "
        "[the run folder](run-folder.md) says where they lie and how they are read.",
    ]
    for place, schema in TABLES.items():
        name, about = _name_and_comment(schema)
        rows = [f"| `{field.name}` | {_kind(field)} | {_meaning(name, field)} |" for field in schema]
        parts += [
            f"## {place}",
            f"`learnalign.tables.{name}`. {about}",
            "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows]),
        ]
    return "\n\n".join(parts) + "\n"


def _kind(field: pa.Field) -> str:
    """Write a type; a sketch says how many values of which kind its bytes are."""
    facts = field.metadata or {}
    if b"size" in facts:
        return f"`{field.type}`: values of `{facts[b'dtype'].decode()}`"
    return f"`{field.type}`"


def _name_and_comment(schema: pa.Schema) -> tuple[str, str]:
    """Find what a schema is called, and the comment or the docstring that stands with it."""
    for name, value in vars(tables).items():
        if value is schema:
            (comment,) = re.findall(rf"((?:^#: .*\n)+){name} = ", _source(), re.MULTILINE)
            return name, _escaped(" ".join(comment.replace("#:", " ").split()))
    name = next(
        name
        for name, value in vars(tables).items()
        if inspect.isfunction(value)
        and name.endswith("_schema")
        and set(schema.names) == set(value(16).names)
    )
    about = (inspect.getdoc(getattr(tables, name)) or "").split("Example:")[0]
    return name, about.strip().replace("``", "`")


def _meaning(table: str, field: pa.Field) -> str:
    """Take the comment behind a column; a column without one means what it means elsewhere."""
    source = _source()
    own = re.split(rf"^(?:{table} = |def {table}\()", source, maxsplit=1, flags=re.MULTILINE)[1]
    own = re.split(r"^(?:\S.*\n)?(?=[#A-Z_a-z])", own.split("\n", 1)[1], flags=re.MULTILINE)[0]
    for text in (own, source):
        found = re.search(rf'\("{field.name}",.*\),  # (.+)|"{field.name}", \w+\),  # (.+)', text)
        if found:
            return _escaped(found[1] or found[2])
    return _COMMON.get(field.name, "")


#: Columns whose comment is the table's own, or that need no word where they are written.
_COMMON = {
    "problem_id": "the problem",
    "sample": "which of its rollouts, from 0",
    "sketch": "the unit gradient, sketched; null unless the status is ok",
    "resampled_counts": "how often each rollout was drawn; null where none was resampled",
    "resampled_sketch": "the same for one resample of the rollouts",
}


def _source() -> str:
    return inspect.getsource(tables)


def _escaped(text: str) -> str:
    for sign in ("\\", "*", "[", "|", "_"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")
