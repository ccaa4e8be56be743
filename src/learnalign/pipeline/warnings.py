"""Warnings about the pool: what left it, and why the user should look."""

import pyarrow as pa

from learnalign.config import Config
from learnalign.runs.folder import RunFolder


def exclusion_warnings(excluded: pa.Table) -> list[str]:
    """Say what left the pool for a reason that the user should look at."""
    texts = {
        "unparsed_gold": "problems left the pool because their gold answer cannot be read",
        "rejected_gold": "problems left the pool because the verifier rejects their gold answer",
        "too_few_rewards": "problems left the pool because the verifier failed on their rollouts",
        "nonfinite_gradient": "problems left the pool because their gradient holds NaN or Inf",
        "nonfinite_logits": "problems left the pool because the model's logits hold NaN or Inf",
        "conflicting_answer": "problems stood in the data a second time with another answer",
        "missing_answer": "rows have no answer",
        "object_answer": "rows have an object for an answer: --answer-column reaches into it",
        "unreadable_answer": "rows have an answer that cannot be read",
        "empty_prompt": "rows have no prompt",
        "unreadable_prompt": "rows have a prompt that is neither text nor a chat",
        "image_prompt": "rows ask about an image, a film or sound, which the model would not see",
        "tool_calls": "rows call tools or bring some along",
        "broken_text": "rows hold text that is no Unicode (half a character)",
        "template_refused": "problems have messages that the chat template refuses",
        "unknown_token": "problems hold a token that the model does not have",
        "prompt_too_long": "problems are longer than the model's context",
        "too_few_rollouts": "problems have fewer than two recorded rollouts",
    }
    found = excluded["reason"].to_pylist()
    return [
        f"{found.count(reason)} {text}; they are listed in excluded/"
        for reason, text in texts.items()
        if reason in found
    ]


def gold_warnings(folder: RunFolder, config: Config) -> list[str]:
    """Say so where golds were held against another verifier than the one that judges now."""
    checked = folder.manifest.stages["problems"].facts.get("golds", {})
    if not checked.get("set_aside") or checked["verifier"] == config.verifier.kind:
        return []
    return [
        f"the verifier '{checked['verifier']}' set {checked['set_aside']} problems aside for their "
        f"golds, and '{config.verifier.kind}' judges now; --redo problems reads the pool again"
    ]
