"""verifiers and prime-rl: ``traces.jsonl``, an episode a line with the traces of its agents.

Source: verifiers/v1/episode.py, trace.py and graph.py; prime_rl/monitors/file.py. Of the tensors,
``to_record`` leaves out ``routed_experts`` and ``sampling_mask`` only: token ids, masks and
log-probabilities are written.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learnalign.rollouts.imports.format import Format, PlainRow, Row


def _episode(row: Row) -> list[PlainRow]:
    work = (row.get("run") or {}).get("work") or {}
    policy = work.get("policy") or {}
    facts: PlainRow = {
        "step": work.get("step"),
        "mixed": policy.get("start") != policy.get("end"),
    }
    if _failed(row):
        return [{"failed": "episode"}] * max(1, len(row["traces"] or ()))
    return [
        plain | facts
        for trace in row["traces"] or ()
        if (trace.get("agent") or {}).get("trainable", True)
        for plain in _trace({**trace, "task": trace.get("task") or row.get("task")})
    ]


def _trace(row: Row) -> list[PlainRow]:
    task = row.get("task")
    task = task if isinstance(task, Mapping) else {}
    data = task.get("data")
    data = data if isinstance(data, Mapping) else {}
    calls = [call for call in row.get("calls") or () if not call.get("error")]
    sampling = (calls[-1].get("sampling") if calls else None) or {}
    plain: PlainRow = {
        "task_id": task.get("key"),
        "id": data.get("id", data.get("idx")),
        "unique_id": task.get("hash"),
        "prompt": data.get("prompt", data.get("question")),
        "completion": None,
        "reward": _weighted(row.get("rewards")),
        **_named(row.get("rewards")),
        "model": calls[-1].get("model") if calls else None,
        "temperature": sampling.get("temperature"),
        "top_p": sampling.get("top_p"),
    }
    if _failed(row):
        return [plain | {"failed": "trace"}]
    nodes = list(row.get("nodes") or ())
    responses = [node for node in nodes if _is_sampled(node)]
    if len(responses) != 1 or responses[0]["message"].get("tool_calls"):
        return [plain | {"multi_turn": bool(responses)}]
    (node,) = responses
    before = nodes[: nodes.index(node)]
    plain |= {
        "prompt": [part["message"] for part in before] or plain["prompt"],
        "completion": node["message"].get("content"),
        "finish_reason": calls[-1].get("finish_reason") if calls else None,
    }
    return [plain | _tokens(node, before)]


def _tokens(node: Row, before: list[Row]) -> PlainRow:
    """Return the sampled tokens; the text is then decoded from them, thinking included."""
    ids, mask = node.get("token_ids") or [], node.get("mask") or []
    sampled = [token for token, is_sampled in zip(ids, mask, strict=False) if is_sampled]
    if not sampled or len(mask) != len(ids):
        return {}
    logprobs = node.get("logprobs") or []
    prompt = [token for part in before for token in part.get("token_ids") or ()]
    return {
        "completion": None,
        "prompt_ids": [*prompt, *ids[: mask.index(True)]],
        "token_ids": sampled,
        "logprobs": logprobs if len(logprobs) == len(sampled) else None,
    }


def _failed(row: Row) -> bool:
    """Whether it ended with an error; ``errors`` also has those of attempts before the last."""
    return not row["ok"] if "ok" in row else bool(row.get("errors") or row.get("error"))


def _is_sampled(node: Row) -> bool:
    """Whether the model wrote a message; one of the prompt's may have the same role."""
    message = node.get("message")
    role = message.get("role") if isinstance(message, Mapping) else None
    return bool(node.get("sampled", True)) and role == "assistant"


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


def _named(rewards: Any) -> PlainRow:
    """Return the scores, unweighted, under the names that a user may choose one by."""
    if not isinstance(rewards, Mapping):
        return {}
    scores = {n: r.get("score") if isinstance(r, Mapping) else r for n, r in rewards.items()}
    return {f"rewards.{name}": score for name, score in scores.items()}


def _repeats(path: Path) -> bool:
    """Of ``all`` and ``effective``, the latter has only what passed the trainer's filters."""
    return path.parent.name == "effective" and (path.parent.parent / "all").is_dir()


EPISODES = Format(
    name="prime-rl",
    writer="prime-rl, verifiers (0.2 or later)",
    where="`rollouts/`, or `traces.jsonl`",
    tokens="exact",
    columns=({"traces"},),
    note="of `all` and `effective`, `all` is used; named rewards are summed with their weights, "
    "and `rewards.NAME` can be chosen; text where a trace has no tokens",
    plain=_episode,
    rollout_ids=frozenset({"id"}),
    side_files=("*/configs/*.json",),
    validation=("*/step_*/eval/*",),
    repeats=_repeats,
)
TRACES = Format(
    name="verifiers-traces",
    writer="verifiers (single traces)",
    where="the file",
    tokens="exact",
    columns=({"nodes", "rewards"},),
    plain=_trace,
    rollout_ids=frozenset({"id"}),
)
