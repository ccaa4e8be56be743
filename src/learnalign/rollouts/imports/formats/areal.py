"""AReaL: ``VERSION/TASK.jsonl``, decoded text with its special tokens.

Source: areal/infra/workflow_executor.py, ``_dump_trajectory``: the folder is the newest version of
the policy that sampled a token of the response, ``head_version`` the oldest.
"""

from learnalign.rollouts.imports.format import Format, PlainRow, Row


def _plain(row: Row) -> list[PlainRow]:
    return [
        {
            "prompt": row["prompt"],
            "completion": row["completion"],
            "reward": row.get("reward"),
            "step": row["tail_version"],
            "mixed": row["head_version"] != row["tail_version"],
        }
    ]


FORMAT = Format(
    name="areal",
    writer="AReaL",
    where="the folder of its dump (`rollout/`)",
    tokens="text",
    columns=({"task_id", "sample_idx", "head_version", "tail_version"},),
    note="its subfolders are versions of the policy: the newest is used",
    plain=_plain,
    validation=("*/eval-rollout/*",),
)
