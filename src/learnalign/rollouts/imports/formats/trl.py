"""TRL: ``output_dir/completions/completions_STEP.parquet``, a column a reward function.

Source: trl/trainer/grpo_trainer.py, ``log``. A reward function that returned None is NaN there.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from learnalign.rollouts.imports.format import Format, PlainRow, Row, number_in
from learnalign.rollouts.imports.values import number_of

#: Columns that are no rewards.
_OTHERS = frozenset({"step", "prompt", "completion", "advantage"})


def _plain(row: Row) -> list[PlainRow]:
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        | {"may_be_empty": True}
    ]


def _of_file(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Find the step in the name, and the reward functions' columns: those of numbers.

    Several are not guessed between.
    """
    names = {name: None for row in rows for name in row if name not in _OTHERS}
    columns = [name for name in names if _is_numeric(row.get(name) for row in rows)]
    return {"reward_columns": columns} | number_in(re.search(r"completions_(\d+)", path.name))


def _is_numeric(values: Iterable[Any]) -> bool:
    """Whether there is a number, and nothing else but missing values; in CSV they are text."""
    known = [value for value in values if value is not None and value != ""]
    return bool(known) and all(isinstance(v, bool) or number_of(v) is not None for v in known)


FORMAT = Format(
    name="trl",
    writer="TRL (`log_completions`)",
    where="`output_dir/completions`",
    tokens="text",
    columns=(_OTHERS, _OTHERS - {"step"}),
    note="the step is in a column, else in the file's name; with several reward functions, name "
    "the column",
    plain=_plain,
    is_step_a_file=True,
    of_file=_of_file,
)
