"""NeMo-Gym: ``rollouts.jsonl``, with a file of failed attempts beside it.

Source: nemo_gym/rollout_collection.py. A failed attempt (the judge did not answer, a time-out) has
``_ng_failure_class``, and a reward of 0 that means nothing.
"""

from collections.abc import Mapping

from learnalign.rollouts.imports.format import Format, PlainRow, Row

#: What NeMo-Gym writes beside rollouts and profiles.
SIDE_FILES = (
    "*_materialized_inputs.jsonl",
    "*_agent_metrics.json",
    "*_aggregate_metrics.json",
)
_IDS = ("problem_id", "id", "unique_id", "example_id")


def _plain(row: Row) -> list[PlainRow]:
    request, response = row["responses_create_params"], row["response"]
    request = request if isinstance(request, Mapping) else {}
    response = response if isinstance(response, Mapping) else {}
    plain: PlainRow = {name: row[name] for name in _IDS if name in row} | {
        "prompt": request.get("input"),
        "reward": row.get("reward"),
        "completion": None,
        "failed": row.get("_ng_failure_class"),
        "model": response.get("model"),
        "temperature": response.get("temperature", request.get("temperature")),
        "top_p": response.get("top_p", request.get("top_p")),
    }
    outputs = [part for part in response.get("output") or () if isinstance(part, Mapping)]
    messages = [part for part in outputs if part.get("type", "message") == "message"]
    if len(messages) != 1 or any("call" in str(part.get("type")) for part in outputs):
        return [plain | {"multi_turn": bool(outputs)}]
    (message,) = messages
    plain["completion"] = message.get("content")
    plain["reasoned"] = any(part.get("type") == "reasoning" and _says(part) for part in outputs)
    if message.get("generation_token_ids"):
        plain["prompt_ids"] = message.get("prompt_token_ids")
        plain["token_ids"] = message["generation_token_ids"]
        plain["logprobs"] = message.get("generation_log_probs")
    if response.get("incomplete_details"):
        plain["finish_reason"] = "length"
    return [plain]


def _says(part: Row) -> bool:
    """Return whether thinking has a text: an empty summary may stand for none."""
    texts = [*(part.get("summary") or ()), *(part.get("content") or ())]
    return any(isinstance(text, Mapping) and text.get("text") for text in texts)


FORMAT = Format(
    name="nemo-gym",
    writer="NeMo-Gym",
    where="`rollouts.jsonl`, or its folder",
    tokens="exact",
    columns=({"responses_create_params", "response"},),
    note="exact tokens if the model server returned them; rows of `*_failures.jsonl` are counted "
    "as failed, never as wrong",
    plain=_plain,
    rollout_ids=frozenset({"_ng_rollout_index"}),
    side_files=SIDE_FILES,
)
