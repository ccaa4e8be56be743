"""rLLM: a JSON file an episode, of a training (text) or of ``rllm eval`` (perhaps with tokens).

Source: rllm/utils/episode_logger.py, rllm/eval/episode_store.py and rllm/types.py.
"""

from collections.abc import Mapping
from typing import Any

from learnalign.rollouts.imports.format import Format, PlainRow, Row


def _plain(row: Row) -> list[PlainRow]:
    task = row.get("task")
    episode = str(row.get("episode_id") or row.get("id") or "")
    ended = str(row.get("termination_reason") or "").lower()
    plain: PlainRow = {
        "task_id": task.get("id") if isinstance(task, Mapping) else None,
        "id": episode.rpartition(":")[0] or None,
        "prompt": _question(task),
        "completion": None,
        "reward": row.get("is_correct"),
        "step": row.get("training_step"),
    }
    if ended in ("error", "timeout"):
        return [plain | {"failed": ended}]
    steps = [step for part in row["trajectories"] or () for step in part.get("steps") or ()]
    if len(steps) != 1:
        return [plain | {"multi_turn": bool(steps)}]
    (step,) = steps
    chat = step.get("chat_completions") or ()
    plain["completion"] = step.get("model_response") or (chat[-1].get("content") if chat else None)
    plain["prompt"] = list(chat[:-1]) or plain["prompt"]
    plain["finish_reason"] = "length" if "length" in ended else None
    if step.get("response_ids"):
        plain |= {"prompt_ids": step.get("prompt_ids") or None, "token_ids": step["response_ids"]}
        plain |= {"logprobs": step.get("logprobs") or None}
    return [plain]


def _question(task: Any) -> Any:
    if isinstance(task, Mapping):
        names = ("instruction", "question", "problem", "prompt")
        return next((task[name] for name in names if task.get(name)), None)
    return task


FORMAT = Format(
    name="rllm",
    writer="rLLM",
    where="the folder of its episodes",
    tokens="text",
    columns=({"trajectories", "is_correct"},),
    note="`is_correct` is the reward; `rllm eval` also writes exact tokens, which are used",
    plain=_plain,
    rollout_ids=frozenset({"episode_id", "id"}),
    is_whole_file=True,
    side_files=("*/batch_summary.json", "*/meta.json", "*/results.json"),
    validation=("*/val_step_*",),
)
