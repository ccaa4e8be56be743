"""Trainers' dumps of their rollouts: each form turned into rows with this project's column names.

A row becomes rows of ``problem_id``, ``prompt`` (text or messages) or ``prompt_ids``,
``completion``, ``token_ids``, ``logprobs``, ``reward``, ``finish_reason``, ``step``. What is no
single response to a prompt (several turns, an error) gets the completion None.
"""

from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]


def plain_rows(row: Row) -> list[dict[str, Any]]:
    """Turn a row of a trainer's dump into plain rows; one that is plain stays as it is.

    Example:
        >>> made = plain_rows({"prompt_tokens": [5, 6], "response_tokens": [7], "reward": 10.0})
        >>> made[0]["prompt_ids"], made[0]["token_ids"], made[0]["reward"]
        ([5, 6], [7], 10.0)
    """
    for columns, turn in _FORMS:
        if columns <= row.keys():
            return turn(row)
    return [dict(row)]


def _open_instruct(row: Row) -> list[dict[str, Any]]:
    renamed = {"prompt_tokens": "prompt_ids", "response_tokens": "token_ids"}
    return [{renamed.get(name, name): value for name, value in row.items()}]


def _nemo_rl(row: Row) -> list[dict[str, Any]]:
    """Cut the padded sequence where its mask says that the model was speaking."""
    ids, mask = row["token_ids"], row["token_loss_mask"]
    spoken = [place for place, weight in enumerate(mask) if weight]
    plain: dict[str, Any] = {
        "prompt_ids": ids[: spoken[0]] if spoken else ids,
        "completion": None,  # its token ids say it
        "reward": row.get("rewards", row.get("reward")),
    }
    if not spoken or spoken[-1] - spoken[0] + 1 > len(spoken):
        return [plain]
    part, logprobs = slice(spoken[0], spoken[-1] + 1), row.get("generation_logprobs")
    return [plain | {"token_ids": ids[part], "logprobs": logprobs[part] if logprobs else None}]


def _nemo_gym(row: Row) -> list[dict[str, Any]]:
    asked, response = row["responses_create_params"], row["response"]
    plain: dict[str, Any] = {
        "problem_id": row.get("problem_id"),
        "prompt": asked.get("input") if isinstance(asked, Mapping) else None,
        "reward": row.get("reward"),
        "completion": None,
    }
    said = response.get("output") if isinstance(response, Mapping) else None
    outputs = [part for part in said or () if isinstance(part, Mapping)]
    messages = [part for part in outputs if part.get("type", "message") == "message"]
    if len(messages) != 1 or any("call" in str(part.get("type")) for part in outputs):
        return [plain]
    (message,) = messages
    plain["completion"] = message.get("content")
    if message.get("generation_token_ids"):
        plain["prompt_ids"] = message.get("prompt_token_ids")
        plain["token_ids"] = message["generation_token_ids"]
        plain["logprobs"] = message.get("generation_log_probs")
    if response.get("incomplete_details"):
        plain["finish_reason"] = "length"
    return [plain]


def _verifiers_episode(row: Row) -> list[dict[str, Any]]:
    """Read an episode of verifiers (prime-rl's traces.jsonl): a task and its traces."""
    failed = {"ok": False} if row.get("ok") is False or row.get("errors") else {}
    return [
        made
        for trace in row["traces"] or ()
        for made in _verifiers_trace(
            {**trace, "task": trace.get("task") or row.get("task"), **failed}
        )
    ]


def _verifiers_trace(row: Row) -> list[dict[str, Any]]:
    task = row.get("task")
    task = task if isinstance(task, Mapping) else {}
    data = task.get("data")
    data = data if isinstance(data, Mapping) else {}
    plain: dict[str, Any] = {
        "problem_id": task.get("key"),
        "id": data.get("id", data.get("idx")),
        "unique_id": task.get("hash"),
        "prompt": data.get("prompt", data.get("question")),
        "completion": None,
        "reward": _weighted(row.get("rewards")),
    }
    nodes = row.get("nodes") or ()
    spoken = [node for node in nodes if _role(node) == "assistant"]
    if len(spoken) != 1 or row.get("errors") or row.get("error") or row.get("ok") is False:
        return [plain]
    (node,) = spoken
    before = [part["message"] for part in nodes[: nodes.index(node)]]
    calls = [call for call in row.get("calls") or () if call.get("finish_reason")]
    plain |= {
        "prompt": before or plain["prompt"],
        "completion": node["message"].get("content"),
        "finish_reason": calls[-1]["finish_reason"] if calls else None,
    }
    mask, ids = node.get("mask") or (), node.get("token_ids") or ()
    sampled = [token for token, spoke in zip(ids, mask, strict=False) if spoke]
    return [plain | ({"token_ids": sampled} if sampled and len(mask) == len(ids) else {})]


def _rllm(row: Row) -> list[dict[str, Any]]:
    task = row.get("task")
    plain: dict[str, Any] = {
        "problem_id": row.get("task_hash"),
        "id": str(row.get("id") or "").rpartition(":")[0] or None,
        "prompt": _question_of(task),
        "completion": None,
        "reward": row.get("is_correct"),
    }
    steps = [step for part in row["trajectories"] or () for step in part.get("steps") or ()]
    if len(steps) != 1:
        return [plain]
    (step,) = steps
    chat = step.get("chat_completions") or ()
    plain["completion"] = step.get("model_response") or (chat[-1].get("content") if chat else None)
    plain["prompt"] = list(chat[:-1]) or plain["prompt"]
    if step.get("response_ids"):
        plain |= {"prompt_ids": step.get("prompt_ids") or None, "token_ids": step["response_ids"]}
        plain |= {"logprobs": step.get("logprobs") or None}
    return [plain]


def _weighted(rewards: Any) -> Any:
    """Add up named rewards, each a score and its weight; None where one was not given."""
    if not isinstance(rewards, Mapping) or not rewards:
        return rewards or None
    total = 0.0
    for reward in rewards.values():
        if reward is None:
            return None
        if not isinstance(reward, Mapping) or "score" not in reward:
            return rewards
        total += float(reward["score"]) * float(reward.get("weight", 1.0))
    return total


def _role(node: Any) -> Any:
    message = node.get("message") if isinstance(node, Mapping) else None
    return message.get("role") if isinstance(message, Mapping) else None


def _question_of(task: Any) -> Any:
    if isinstance(task, Mapping):
        return next((task[n] for n in ("question", "problem", "prompt") if task.get(n)), None)
    return task


#: The columns that tell a form, and what reads it.
_FORMS: tuple[tuple[set[str], Callable[[Row], list[dict[str, Any]]]], ...] = (
    ({"prompt_tokens", "response_tokens"}, _open_instruct),
    ({"token_ids", "token_loss_mask"}, _nemo_rl),
    ({"responses_create_params", "response"}, _nemo_gym),
    ({"traces"}, _verifiers_episode),
    ({"nodes", "rewards"}, _verifiers_trace),
    ({"trajectories"}, _rllm),
)
