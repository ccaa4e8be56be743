"""NeMo-Gym's reward profile: ``*_reward_profiling.jsonl``, the rewards of each task, no text.

Source: nemo_gym/reward_profile.py, ``profile_from_data``.
"""

from collections.abc import Mapping
from pathlib import Path

from learnalign.rollouts.imports.format import Format, PlainRow, Row
from learnalign.rollouts.imports.formats.nemo_gym import SIDE_FILES

_END = "_reward_profiling.jsonl"


def _plain(row: Row) -> list[PlainRow]:
    sample = row["sample"]
    request = sample.get("responses_create_params")
    ids = {name: sample[name] for name in ("problem_id", "id", "unique_id") if name in sample}
    return [
        ids
        | {
            "prompt": request.get("input") if isinstance(request, Mapping) else None,
            "counted_rewards": [info.get("reward") for info in row["rollout_infos"]],
        }
    ]


def _repeats(path: Path) -> bool:
    rollouts = path.with_name(path.name.removesuffix(_END) + ".jsonl")
    return path.name.endswith(_END) and rollouts.is_file()


FORMAT = Format(
    name="nemo-gym-profile",
    writer="NeMo-Gym (reward profile)",
    where="`*_reward_profiling.jsonl`",
    tokens="counts",
    columns=({"sample", "rollout_infos"},),
    note="left out of a folder that has the rollouts themselves",
    plain=_plain,
    side_files=SIDE_FILES,
    repeats=_repeats,
)
