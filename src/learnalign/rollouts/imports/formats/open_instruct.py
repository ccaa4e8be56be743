"""open-instruct: ``RUN_rollouts_SHARD.jsonl`` of ``save_traces``, with exact tokens.

Source: open_instruct/rl_utils.py (``RolloutRecord``) and ground_truth_utils.py: a reward is
``verification_reward`` (10) times the verifier's score from 0 to 1; a format reward may be added,
and a penalty (-10) may replace it.
"""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from learnalign.rollouts.imports.format import Format, PlainRow, Row
from learnalign.rollouts.imports.record import Record

_SCALE = 10.0


def _plain(row: Row) -> list[PlainRow]:
    info = row.get("request_info") or {}
    used_tools = bool(info.get("num_calls") or info.get("tool_calleds"))
    return [
        {
            "prompt_ids": row["prompt_tokens"],
            "token_ids": row["response_tokens"],
            "multi_turn": used_tools,
            "completion": None,
            "logprobs": row.get("logprobs"),
            "reward": row.get("reward"),
            "finish_reason": row.get("finish_reason"),
            "step": row.get("step"),
        }
    ]


def _of_file(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Read the model's name from the run's metadata beside the file."""
    run = path.name.rpartition("_rollouts_")[0]
    with suppress(OSError, ValueError, AttributeError):
        metadata = path.with_name(f"{run}_metadata.jsonl").read_text(encoding="utf-8")
        name = json.loads(metadata.splitlines()[0]).get("model_name")
        return {} if name in (None, "unknown") else {"model": name}
    return {}


def _corrected(records: list[Record]) -> tuple[list[Record], Counter[str]]:
    """Divide all rewards by 10 if any is above 1; take a penalty for a wrong answer.

    A file may have only wrong answers, so the scale is that of the whole import. With a format
    reward added, 10 and 11 are right, 0 and 1 wrong; where scores are fractions as well, the two
    cannot be separated, and the rewards are dropped: a verifier judges instead.
    """
    counts: Counter[str] = Counter()
    rewards = {record.reward for record in records if record.reward is not None}
    scaled = any(reward > 1.0 for reward in rewards) or any(r <= -_SCALE for r in rewards)
    if not scaled:
        return records, counts
    added = max(rewards) - _SCALE
    separable = added <= 0.0 or {r for r in rewards if r >= 0.0} <= {
        0.0,
        added,
        _SCALE,
        _SCALE + added,
    }
    corrected = []
    for record in records:
        reward = record.reward
        if reward is not None and reward < 0.0:
            counts["penalised"] += 1
            reward = 0.0
        elif reward is not None and not separable:
            counts["inseparable"] += 1
            reward = None
        elif reward is not None:
            counts["rescaled"] += reward != 0.0
            reward = reward / _SCALE if added <= 0.0 else float(reward >= _SCALE)
        corrected.append(replace(record, reward=reward))
    return corrected, counts


FORMAT = Format(
    name="open-instruct",
    writer="open-instruct (`save_traces`)",
    where="the folder `rollouts_save_path`",
    tokens="exact",
    columns=({"prompt_tokens", "response_tokens"},),
    note="rewards of `verification_reward` (10) times a score are divided by 10, over the whole "
    "import; a penalty below 0 is a wrong answer",
    plain=_plain,
    of_file=_of_file,
    side_files=("*_metadata.jsonl",),
    corrected=_corrected,
)
