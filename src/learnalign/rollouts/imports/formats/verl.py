"""verl: ``trainer.rollout_data_dir/STEP.jsonl``, with decoded text.

Source: verl/trainer/ppo/ray_trainer.py and v1/trainer_base.py, ``_write_generations``: both decode
prompts and responses with ``skip_special_tokens=True``.
"""

import re
from pathlib import Path
from typing import Any

from learnalign.rollouts.imports.format import Format, PlainRow, Row, number_in


def _plain(row: Row) -> list[PlainRow]:
    # The v1 trainer's uid names a rollout, not a problem.
    named = {name: value for name, value in row.items() if name not in ("uid", "request_id")}
    return [named | {"may_be_empty": True}]


def _of_file(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return number_in(re.fullmatch(r"(\d+)", path.name.partition(".")[0]))


FORMAT = Format(
    name="verl",
    writer="verl (`trainer.rollout_data_dir`)",
    where="that folder",
    tokens="text",
    columns=({"input", "output", "gts", "score"}, {"input", "output", "score", "step"}),
    note="`score` is the reward; special tokens were removed from the text",
    plain=_plain,
    rollout_ids=frozenset({"uid", "request_id"}),
    is_step_a_file=True,
    of_file=_of_file,
)
