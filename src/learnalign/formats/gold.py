"""Writing the selection's gold to the field that a trainer's reward function reads."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from learnalign.formats.rows import PREFIX, Block, Notes, plain
from learnalign.problems.golds import answer_of
from learnalign.problems.suites.registry import are_tests_of


def holds(own: Any, gold: str) -> bool:
    """Return whether a row's own value equals the gold used for the selection.

    Text must be identical; other values are compared after parsing, and so are the tests of code
    problems. A worked solution that ends with the gold does not count: a verifier may find another
    number in it.

    Example:
        >>> holds("72", "72"), holds(72.0, "72"), holds(["72"], "72"), holds("so #### 72", "72")
        (True, True, True, False)
    """
    if are_tests_of(own, gold):
        return True
    return own.strip() == gold if isinstance(own, str) else answer_of(own) == gold


def solutions_stay(parts: Sequence[Block]) -> bool:
    """Return whether `solution` already equals the gold in all rows of a file, in a non-text type.

    If one row needs the gold as text, all rows get it as text: a column must have one type.
    """
    return all(
        not isinstance(row.get("solution"), str) and holds(row.get("solution"), gold)
        for part in parts
        for row, gold in zip(part.dicts(), part.problems["answer"].to_pylist(), strict=True)
    )


def gold_columns(row: dict[str, Any], gold: str, notes: Notes) -> dict[str, Any]:
    """Return the columns to add to a row so that TRL's `solution` is the gold, as text."""
    own = row.get("solution")
    if own is None:
        notes.hint("`solution` was added: the gold answer, for TRL's accuracy_reward")
        return {"solution": gold}
    if isinstance(own, str) and holds(own, gold):
        return {}
    kept = f"{PREFIX}own_solution"
    note_replaced("solution", kept, answer_of(own) == gold, notes)
    text = own if isinstance(own, str) else json.dumps(plain(own, "solution", set()))
    return {"solution": gold, kept: row.get(kept, text)}


def with_gold(table: pa.Table, part: Block, notes: Notes) -> pa.Table:
    """Set verl's `reward_model.ground_truth` to the gold in all rows of a block.

    A block whose values already equal the gold is unchanged; otherwise they move to another field.
    """
    index = table.schema.get_field_index("reward_model")
    field = table.schema.field(index)
    rewards = pa.concat_arrays(table[index].chunks)
    own, golds = rewards.field("ground_truth").to_pylist(), part.problems["answer"].to_pylist()
    if all(holds(o, g) for o, g in zip(own, golds, strict=True)):
        return table
    kept = f"{PREFIX}own_ground_truth"
    same = all(o is None or answer_of(o) == g for o, g in zip(own, golds, strict=True))
    note_replaced("reward_model.ground_truth", f"reward_model.{kept}", same, notes)
    columns = {f.name: column for f, column in zip(field.type, rewards.flatten(), strict=True)}
    text = pa.types.is_string(columns["ground_truth"].type) or pa.types.is_large_string(
        columns["ground_truth"].type
    )
    columns.setdefault(kept, columns["ground_truth"])
    columns["ground_truth"] = pa.array(golds, columns["ground_truth"].type if text else None)
    joined = pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
    field = pa.field("reward_model", joined.type, metadata=field.metadata)
    return table.set_column(index, field, joined)


def note_replaced(name: str, kept: str, same: bool, notes: Notes) -> None:
    """Tell that the gold of a row was replaced; ``same`` if yours only says it in other words."""
    if same:
        notes.hint(f"`{name}` is the bare gold answer used for the selection; yours: `{kept}`")
        return
    notes.warn(
        f"in some rows, `{name}` was not the gold used for the selection: `{name}` is now that "
        f"gold, which the recipe rewards, and your value is in `{kept}`"
    )
