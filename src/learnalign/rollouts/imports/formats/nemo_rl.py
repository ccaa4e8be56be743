"""NeMo-RL: ``train_data_stepN.jsonl``, padded token sequences with a mask of the generated ones.

Source: nemo_rl/algorithms/grpo.py, ``log_batched_dict_as_jsonl``.
"""

import re
from pathlib import Path
from typing import Any

from learnalign.rollouts.imports.format import Format, PlainRow, Row, number_in


def _plain(row: Row) -> list[PlainRow]:
    """Cut the padded sequence to the tokens that the mask marks as generated."""
    ids, mask = row["token_ids"], row["token_loss_mask"]
    generated = [position for position, weight in enumerate(mask) if weight]
    plain: PlainRow = {
        "prompt_ids": ids[: generated[0]] if generated else ids,
        "completion": None,  # decoded from the token ids
        "reward": row.get("rewards", row.get("reward")),
    }
    if not generated or generated[-1] - generated[0] + 1 > len(generated):
        return [plain | {"multi_turn": bool(generated)}]
    part, logprobs = slice(generated[0], generated[-1] + 1), row.get("generation_logprobs")
    return [plain | {"token_ids": ids[part], "logprobs": logprobs[part] if logprobs else None}]


def _of_file(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return number_in(re.search(r"_data_step(\d+)", path.name))


FORMAT = Format(
    name="nemo-rl",
    writer="NeMo-RL",
    where="the folder of its `train_data_step*.jsonl`",
    tokens="exact",
    columns=({"token_ids", "token_loss_mask"},),
    note="the response is cut out with the loss mask",
    plain=_plain,
    is_step_a_file=True,
    of_file=_of_file,
    validation=("*/val_data_step*.jsonl",),
)
