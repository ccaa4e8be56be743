"""Warnings about problems that left the pool."""

import pyarrow as pa

from learnalign.config import Config
from learnalign.runs.folder import RunFolder


def exclusion_warnings(excluded: pa.Table) -> list[str]:
    """Return a line for each reason to leave the pool that the user should look into."""
    texts = {
        "unparsed_gold": "problems left the pool because their gold answer cannot be read",
        "rejected_gold": "problems left the pool because the verifier rejects their gold answer",
        "too_few_rewards": "problems left the pool because the verifier failed on their rollouts",
        "nonfinite_gradient": "problems left the pool because their gradient has NaN or Inf",
        "nonfinite_logits": "problems left the pool because the model's logits have NaN or Inf",
        "conflicting_answer": "problems are in the data twice, with different answers",
        "missing_answer": "rows have no answer",
        "object_answer": "rows have an object as answer: --answer-column can address its fields",
        "unreadable_answer": "rows have an answer that cannot be read",
        "empty_prompt": "rows have no prompt",
        "unreadable_prompt": "rows have a prompt that is neither text nor a chat",
        "image_prompt": "rows contain an image, video or audio, which the model would not see",
        "tool_calls": "rows use tools or an agent",
        "broken_text": "rows have text that is not valid Unicode (half a character)",
        "template_refused": "problems have messages that the chat template rejects",
        "unknown_token": "problems have a token that the model does not have",
        "prompt_too_long": "problems are longer than the model's context",
        "too_few_rollouts": "problems have fewer than two recorded rollouts",
    }
    reasons = excluded["reason"].to_pylist()
    return [
        f"{reasons.count(reason)} {text}; they are listed in excluded/"
        for reason, text in texts.items()
        if reason in reasons
    ]


def gold_warnings(folder: RunFolder, config: Config) -> list[str]:
    """Warn if the golds were checked by another verifier than the one that judges now."""
    checked = folder.manifest.stages["problems"].facts.get("golds", {})
    if not checked.get("set_aside") or checked["verifier"] == config.verifier.kind:
        return []
    return [
        f"the verifier '{checked['verifier']}' excluded {checked['set_aside']} problems for their "
        f"golds, but '{config.verifier.kind}' judges now; --redo problems reads the pool again"
    ]
