"""Trainers' rollout dumps: each format converted to rows with this project's column names.

A row becomes rows of ``problem_id``, ``prompt`` (text or messages) or ``prompt_ids``,
``completion``, ``token_ids``, ``logprobs``, ``reward``, ``finish_reason``, ``step``. Anything other
than a single response to a prompt (several turns, an error) gets the completion None.
"""

from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]


def plain_rows(row: Row) -> list[dict[str, Any]]:
    """Convert a row of a trainer's dump to plain rows; a plain row stays as it is.

    Example:
        >>> rows = plain_rows({"prompt_tokens": [5, 6], "response_tokens": [7], "reward": 10.0})
        >>> rows[0]["prompt_ids"], rows[0]["token_ids"], rows[0]["reward"]
        ([5, 6], [7], 10.0)
    """
    for columns, convert in _FORMATS:
        if columns <= row.keys():
            return convert(row)
    return [dict(row)]


def _open_instruct(row: Row) -> list[dict[str, Any]]:
    renamed = {"prompt_tokens": "prompt_ids", "response_tokens": "token_ids"}
    return [{renamed.get(name, name): value for name, value in row.items()}]


def _nemo_rl(row: Row) -> list[dict[str, Any]]:
    """Cut the padded sequence to the tokens that the mask marks as generated."""
    ids, mask = row["token_ids"], row["token_loss_mask"]
    generated = [position for position, weight in enumerate(mask) if weight]
    plain: dict[str, Any] = {
        "prompt_ids": ids[: generated[0]] if generated else ids,
        "completion": None,  # decoded from the token ids
        "reward": row.get("rewards", row.get("reward")),
    }
    if not generated or generated[-1] - generated[0] + 1 > len(generated):
        return [plain]
    part, logprobs = slice(generated[0], generated[-1] + 1), row.get("generation_logprobs")
    return [plain | {"token_ids": ids[part], "logprobs": logprobs[part] if logprobs else None}]


def _nemo_gym(row: Row) -> list[dict[str, Any]]:
    request, response = row["responses_create_params"], row["response"]
    plain: dict[str, Any] = {
        "problem_id": row.get("problem_id"),
        "prompt": request.get("input") if isinstance(request, Mapping) else None,
        "reward": row.get("reward"),
        "completion": None,
    }
    output = response.get("output") if isinstance(response, Mapping) else None
    outputs = [part for part in output or () if isinstance(part, Mapping)]
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
        plain
        for trace in row["traces"] or ()
        for plain in _verifiers_trace(
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
    responses = [node for node in nodes if _role(node) == "assistant"]
    if len(responses) != 1 or row.get("errors") or row.get("error") or row.get("ok") is False:
        return [plain]
    (node,) = responses
    before = [part["message"] for part in nodes[: nodes.index(node)]]
    calls = [call for call in row.get("calls") or () if call.get("finish_reason")]
    plain |= {
        "prompt": before or plain["prompt"],
        "completion": node["message"].get("content"),
        "finish_reason": calls[-1]["finish_reason"] if calls else None,
    }
    mask, ids = node.get("mask") or (), node.get("token_ids") or ()
    sampled = [token for token, is_sampled in zip(ids, mask, strict=False) if is_sampled]
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
    """Sum named rewards, each a score with a weight; None if one is missing."""
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


#: The columns that identify a format, and the function that converts it.
_FORMATS: tuple[tuple[set[str], Callable[[Row], list[dict[str, Any]]]], ...] = (
    ({"prompt_tokens", "response_tokens"}, _open_instruct),
    ({"token_ids", "token_loss_mask"}, _nemo_rl),
    ({"responses_create_params", "response"}, _nemo_gym),
    ({"traces"}, _verifiers_episode),
    ({"nodes", "rewards"}, _verifiers_trace),
    ({"trajectories"}, _rllm),
)
