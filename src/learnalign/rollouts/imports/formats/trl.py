"""TRL: ``output_dir/completions/completions_STEP.parquet``, a column a reward function.

Source: trl/trainer/grpo_trainer.py, ``log``. A reward function that returned None is NaN there.
"""

import math
from pathlib import Path
from typing import Any

from learnalign.rollouts.imports.format import Format, PlainRow, Row

#: Columns that are no rewards.
_OTHERS = frozenset({"step", "prompt", "completion", "advantage"})


def _plain(row: Row) -> list[PlainRow]:
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
    ]


def _of_file(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Find the reward functions' columns: those of numbers. Several are not guessed between."""
    names = {
        name: None
        for row in rows
        for name, value in row.items()
        if name not in _OTHERS and isinstance(value, int | float)
    }
    return {"reward_columns": list(names)}


FORMAT = Format(
    name="trl",
    writer="TRL (`log_completions`)",
    where="`output_dir/completions`",
    tokens="text",
    columns=(_OTHERS,),
    note="with several reward functions, name the column",
    plain=_plain,
    of_file=_of_file,
)
