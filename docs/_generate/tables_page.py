"""The reference page of the tables, generated from the schemas and their comments."""

import inspect
import re

import pyarrow as pa

from learnalign import tables

#: Where a table is in the folder of a run, a training or an evaluation, and its schema.
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
    "audit/findings.parquet": tables.FINDINGS,
    "history/": tables.HISTORY,
    "steps/": tables.STEPS,
    "evaluation.parquet": tables.EVALUATION,
}


def tables_page() -> str:
    """Write every table with the types and meanings of its columns."""
    parts = [
        "# Tables and columns",
        "What each column of a table contains, generated from "
        f"`learnalign.tables`, schema version {tables.SCHEMA_VERSION}. Every table is Parquet; "
        "[the run folder](run-folder.md) says where they are and how to read them.",
    ]
    for place, schema in TABLES.items():
        name, about = _name_and_comment(schema)
        rows = [f"| `{f.name}` | {_kind(f)} | {_meaning(name, f)} |" for f in schema]
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
    """Find a schema's name and its comment or docstring."""
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
    special = _SPECIAL.get((table, field.name))
    for text in (own, special, _COMMON.get(field.name), source):
        if text in (own, source):
            found = re.search(rf'"{field.name}",.*\),  # (.+)', text)
            text = found and found[1]
        if text:
            return _escaped(text)
    return ""


#: Columns of a table that have no comment and mean something else than in other tables.
_SPECIAL = {
    ("EXCLUDED", "detail"): "more on the reason, such as what was read",
    ("SCORES", "gradient_norm"): "norm of the gradient before sketching; null if none was computed",
}
#: Columns that have no comment of their own.
_COMMON = {
    "selected": "whether it is one of the K that were chosen",
    "success_rate_high": "the interval's upper end",
    "num_correct": "how many of the rollouts are correct",
    "num_truncated": "how many of the rollouts were cut at the longest response",
    "mean_response_tokens": "mean length of its responses, in tokens",
    "num_prompt_tokens": "length of the prompt, in tokens",
    "num_problems": "problems in the step",
    "mean_reward": "mean over the step's rollouts",
    "share_truncated": "share of the rollouts that were cut at the longest response",
    "learning_rate": "of the step",
    "sampling_s": "seconds of sampling",
    "verifying_s": "seconds of verifying",
    "learning_s": "seconds of the update",
    "benchmark": "which benchmark",
    "problem_id": "the problem",
    "sample": "which of its rollouts, from 0",
    "sketch": "the unit gradient, sketched; null unless the status is ok",
    "resampled_counts": "how often each rollout was sampled; null where none was resampled",
    "resampled_sketch": "the same for one resample of the rollouts",
}


def _source() -> str:
    return inspect.getsource(tables)


def _escaped(text: str) -> str:
    for sign in ("\\", "*", "[", "|", "_"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")
