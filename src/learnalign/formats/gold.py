"""Writing the selection's gold where a trainer's reward function reads it."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from learnalign.formats.rows import PREFIX, Block, Notes, plain
from learnalign.problems.golds import answer_of


def holds(own: Any, gold: str) -> bool:
    """Return whether a row's own value is the gold that was selected with.

    Text must be that text; of other values, what a selection reads counts. A worked solution that
    ends in the gold is not it: a verifier may find another number in it.

    Example:
        >>> holds("72", "72"), holds(72.0, "72"), holds(["72"], "72"), holds("so #### 72", "72")
        (True, True, True, False)
    """
    return own.strip() == gold if isinstance(own, str) else answer_of(own) == gold


def solutions_stay(parts: Sequence[Block]) -> bool:
    """Return whether the rows' own `solution` is the gold in all rows of a file, and not as text.

    One row that needs the gold as text makes text of all: a loader wants one type in a column.
    """
    return all(
        not isinstance(row.get("solution"), str) and holds(row.get("solution"), gold)
        for part in parts
        for row, gold in zip(part.dicts(), part.problems["answer"].to_pylist(), strict=True)
    )


def gold_columns(row: dict[str, Any], gold: str, notes: Notes) -> dict[str, Any]:
    """Return the columns that a row needs for TRL's `solution` to be the gold, as text."""
    own = row.get("solution")
    if own is None:
        notes.hint("`solution` was added: the gold answer, for TRL's accuracy_reward")
        return {"solution": gold}
    if isinstance(own, str) and holds(own, gold):
        return {}
    kept = f"{PREFIX}own_solution"
    _tell("solution", kept, answer_of(own) == gold, notes)
    text = own if isinstance(own, str) else json.dumps(plain(own, "solution", set()))
    return {"solution": gold, kept: row.get(kept, text)}


def with_gold(table: pa.Table, part: Block, notes: Notes) -> pa.Table:
    """Make verl's `reward_model.ground_truth` the gold, in all rows of a block.

    A block whose own values are the gold stays as it is; otherwise they go into a field beside it.
    """
    place = table.schema.get_field_index("reward_model")
    field = table.schema.field(place)
    rewards = pa.concat_arrays(table[place].chunks)
    own, golds = rewards.field("ground_truth").to_pylist(), part.problems["answer"].to_pylist()
    other = [o for o, g in zip(own, golds, strict=True) if not holds(o, g)]
    if not other:
        return table
    kept = f"{PREFIX}own_ground_truth"
    same = all(o is None or answer_of(o) == g for o, g in zip(own, golds, strict=True))
    _tell("reward_model.ground_truth", f"reward_model.{kept}", same, notes)
    columns = {f.name: column for f, column in zip(field.type, rewards.flatten(), strict=True)}
    text = pa.types.is_string(columns["ground_truth"].type) or pa.types.is_large_string(
        columns["ground_truth"].type
    )
    columns.setdefault(kept, columns["ground_truth"])
    columns["ground_truth"] = pa.array(golds, columns["ground_truth"].type if text else None)
    joined = pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
    field = pa.field("reward_model", joined.type, metadata=field.metadata)
    return table.set_column(place, field, joined)


def _tell(name: str, kept: str, same: bool, notes: Notes) -> None:
    if same:
        notes.hint(f"`{name}` is the gold answer alone, as it was selected with; yours: `{kept}`")
        return
    notes.warn(
        f"some rows have a `{name}` that is not the gold they were selected with: `{name}` is now "
        f"that gold, which the recipe rewards, and yours is in `{kept}`"
    )
