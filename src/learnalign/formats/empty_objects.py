"""Objects without any field, which JSON has and Parquet cannot write, become null."""

from typing import Any

import pyarrow as pa

from learnalign.formats.rows import Notes


def without_empty_objects(table: pa.Table, notes: Notes) -> pa.Table:
    """Make objects null where no row has a field in their place; a warning names the columns.

    Example:
        >>> notes = Notes()
        >>> table = pa.Table.from_pylist([{"info": {}, "tools": [{"name": "x", "parameters": {}}]}])
        >>> without_empty_objects(table, notes).to_pylist()
        [{'info': None, 'tools': [{'name': 'x', 'parameters': None}]}]
        >>> notes.warnings
        ['Parquet has no empty objects: those in info, tools became null (--as jsonl keeps them)']
    """
    changed = []
    for index, field in enumerate(table.schema):
        kind = _written(field.type)
        if kind == field.type:
            continue
        changed.append(field.name)
        values = [_value(value, field.type) for value in table[index].to_pylist()]
        table = table.set_column(index, field.with_type(kind), pa.array(values, kind))
    if changed:
        notes.warn(
            f"Parquet has no empty objects: those in {', '.join(changed)} became null (--as jsonl "
            "keeps them)"
        )
    return table


def _written(kind: pa.DataType) -> pa.DataType:
    """Return a type in which null replaces structs without fields."""
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([f.with_type(_written(f.type)) for f in fields]) if fields else pa.null()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        item = kind.value_field.with_type(_written(kind.value_type))
        return pa.list_(item) if pa.types.is_list(kind) else pa.large_list(item)
    return kind


def _value(value: Any, kind: pa.DataType) -> Any:
    if value is None or (pa.types.is_struct(kind) and not kind.num_fields):
        return None
    if pa.types.is_struct(kind):
        return {name: _value(item, kind.field(name).type) for name, item in value.items()}
    if isinstance(value, list):
        return [_value(item, kind.value_type) for item in value]
    return value
