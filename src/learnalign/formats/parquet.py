"""The Parquet formats: the user's rows with our columns, and verl's format."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.formats.empty_objects import without_empty_objects
from learnalign.formats.gold import with_gold
from learnalign.formats.jsonl import clash
from learnalign.formats.rows import Block, Notes, check_prompts, is_messages, require_no_agent
from learnalign.tables import SCORED_PROMPT


@contextmanager
def explained(kind: str) -> Iterator[None]:
    """Convert Arrow's mixed-type errors into an error that says what to do."""
    try:
        yield
    except (pa.ArrowException, OverflowError) as error:
        remedy = "use --as jsonl, which has no types" if kind == "parquet" else "fix the rows"
        raise LearnAlignError(
            f"the rows do not fit into one Parquet table: {error}",
            expected="columns with one type each across all sources",
            do=f"{remedy}, or export the sources separately",
        ) from error


def parquet_table(parts: Sequence[Block], notes: Notes) -> pa.Table:
    """Add our columns to the user's rows, in the order of the file."""
    tables = []
    for part in parts:
        table = part.arrow()
        clashes = set(table.column_names) & set(part.ours.column_names)
        if clashes:
            notes.warn(clash(clashes))
        for name in part.ours.column_names:
            if name not in clashes:
                table = table.append_column(part.ours.schema.field(name), part.ours[name])
        tables.append(table)
    return _joined(tables, parts, notes)


def verl_table(parts: Sequence[Block], notes: Notes) -> pa.Table:
    """Return the rows in verl's format; rows already in it keep their columns, others are built.

    Our columns are added to `extra_info` only. `data_source`, by which verl picks the scorer, and
    `extra_info.index`, by which it finds rows, are unchanged. Our columns include the scored
    prompt: verl passes no other prompt to a reward function.
    """
    tables, ordered = [], []
    for part in parts:
        for block, is_verl in _split_by_format(part):
            ordered.append(block)
            tables.append(_with_ours(block, notes) if is_verl else _build(block, notes))
    return _joined(tables, ordered, notes)


def _split_by_format(part: Block) -> list[tuple[Block, bool]]:
    if part.typed is not None:
        return [(part, _is_verl_schema(part.typed.schema))]
    verl = [_is_verl(row) for row in part.dicts()]
    if len(set(verl)) == 1:
        return [(part, verl[0])]
    split = [[i for i, value in enumerate(verl) if value is kind] for kind in (True, False)]
    return [(part.part(split[0]), True), (part.part(split[1]), False)]


def _is_verl(row: dict[str, Any]) -> bool:
    reward_model = row.get("reward_model")
    return (
        isinstance(row.get("data_source"), str)
        and is_messages(row.get("prompt"))
        and isinstance(reward_model, dict)
        and "ground_truth" in reward_model
    )


def _is_verl_schema(schema: pa.Schema) -> bool:
    if not {"data_source", "prompt", "reward_model"} <= set(schema.names):
        return False
    prompt, reward_model = schema.field("prompt").type, schema.field("reward_model").type
    lists = pa.types.is_list(prompt) or pa.types.is_large_list(prompt)
    return (
        lists
        and pa.types.is_struct(prompt.value_type)
        and {"role", "content"} <= {field.name for field in prompt.value_type}
        and pa.types.is_struct(reward_model)
        and "ground_truth" in {field.name for field in reward_model}
    )


def _with_ours(part: Block, notes: Notes) -> pa.Table:
    table = with_gold(part.arrow(), part, notes) if part.overwrite_gold else part.arrow()
    if part.scored_messages is None:
        check_prompts(table["prompt"].to_pylist(), part.problems, notes)
    else:
        notes.hint("`prompt` is the scored messages, replacing your own")
        index = table.schema.get_field_index("prompt")
        field = table.schema.field(index)
        messages = pa.array(part.scored_messages.to_pylist(), field.type)
        table = table.set_column(index, field, messages)
    ours = part.ours.append_column(SCORED_PROMPT, part.problems["prompt"])
    index = table.schema.get_field_index("extra_info")
    if index < 0 or pa.types.is_null(table.schema.field(index).type):
        table = table if index < 0 else table.remove_column(index)
        return table.append_column("extra_info", _struct(_columns(ours)))
    own = table.schema.field(index)
    if not pa.types.is_struct(own.type):
        notes.warn(f"`extra_info` is {own.type}, not a struct: our columns were omitted")
        return table
    array = pa.concat_arrays(table[index].chunks)
    fields = [own.type.field(i) for i in range(own.type.num_fields)]
    if array.null_count:  # flatten() propagates the struct's nulls to its fields
        fields = [field.with_nullable(True) for field in fields]
    clashes = {field.name for field in fields} & set(ours.column_names)
    if clashes:
        notes.warn(clash({f"extra_info.{name}" for name in clashes}))
    new = [field for field in ours.schema if field.name not in clashes]
    arrays = [*array.flatten(), *(_one(ours[field.name]) for field in new)]
    joined = pa.StructArray.from_arrays(arrays, fields=[*fields, *new])
    field = pa.field("extra_info", joined.type, nullable=own.nullable, metadata=own.metadata)
    return table.set_column(index, field, joined)


def _build(part: Block, notes: Notes) -> pa.Table:
    problems, count = part.problems, part.problems.num_rows
    for row, name in zip(part.dicts(), problems["problem_id"].to_pylist(), strict=True):
        require_no_agent("verl", row, name)
    notes.hint(
        "rows were converted to verl's format; your row is JSON text in `extra_info.row`, the "
        "scored prompt is `extra_info.prompt`. verl picks the scorer by `data_source`, here the "
        "source's name: set custom_reward_function.path unless verl has a scorer for it"
    )
    reward_model = {"style": pa.array(["rule"] * count), "ground_truth": _one(problems["answer"])}
    extra_info = {
        "split": pa.array(["train"] * count),
        "index": _one(problems["position"]),
        "row": _one(problems["row"]),
        "prompt": _one(problems["prompt"]),
        **_columns(part.ours),
    }
    return pa.table(
        {
            "data_source": problems["source"],
            "prompt": (
                problems["messages"] if part.scored_messages is None else part.scored_messages
            ),
            "ability": pa.array(["math"] * count),
            "reward_model": _struct(reward_model),
            "extra_info": _struct(extra_info),
        }
    )


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks)


def _columns(table: pa.Table) -> dict[str, pa.Array]:
    return {name: _one(table[name]) for name in table.column_names}


def _struct(columns: dict[str, pa.Array]) -> pa.StructArray:
    return pa.StructArray.from_arrays(list(columns.values()), names=list(columns))


def _joined(tables: list[pa.Table], parts: Sequence[Block], notes: Notes) -> pa.Table:
    """Concatenate the sources' tables and reorder the rows to the order of the file."""
    joined = tables[0]
    if len(tables) > 1:
        try:
            joined = pa.concat_tables(tables, promote_options="default")
        except pa.ArrowException:
            joined = pa.concat_tables(tables, promote_options="permissive")
            notes.warn("the sources' column types differ: they were widened to fit one table")
        metadata = tables[0].schema.metadata
        if any(table.schema.metadata != metadata for table in tables):
            joined = joined.replace_schema_metadata(None)
    rows = joined.take(np.argsort(np.concatenate([part.positions for part in parts])))
    return without_empty_objects(rows, notes)
