"""Which verifiers judge the problems of a run."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from learnalign.config import Config
from learnalign.runs.folder import RunFolder
from learnalign.tables import golds
from learnalign.verifying.question import Question
from learnalign.verifying.routing import route

#: The name under ``auto`` for rewards that came with recorded rollouts.
RECORDED = "recorded rewards"


def verifier_of(problem: Mapping[str, Any]) -> str:
    """Return the verifier that ``auto`` chooses for a row of PROBLEMS.

    Example:
        >>> verifier_of({"answer": "x + 1", "prompt": "?", "row": "{}"})
        'math'
    """
    texts = tuple(golds(problem["answer"] or ""))
    return route("auto", Question(texts, problem["prompt"] or "", json.loads(problem["row"])))


def verifier_counts(problems: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Count rows of PROBLEMS by the verifier that ``auto`` chooses, most frequent first."""
    return dict(Counter(map(verifier_of, problems)).most_common())


def judged_by(folder: RunFolder, config: Config) -> dict[str, int]:
    """Count a run's problems by what judges them: a verifier, or recorded rewards.

    With recorded rollouts, only the problems that have some are counted.
    """
    pool, kind = folder.manifest.stages["problems"], config.verifier.kind
    if not config.rollouts.recorded:
        auto: dict[str, int] = pool.facts.get("verifiers", {})
        return auto if kind == "auto" else {kind: sum(s.rows for s in pool.shards.values())}
    rewarded: dict[str, bool] = {}
    for batch in folder.batches("rollouts", ["problem_id", "recorded_reward"]):
        for row in batch.to_pylist():
            name = row["problem_id"]
            rewarded[name] = rewarded.get(name, False) or row["recorded_reward"] is not None
    if kind != "auto":
        return {kind: len(rewarded)}
    others = (
        row
        for batch in folder.batches("problems", ["problem_id", "answer", "prompt", "row"])
        for row in batch.to_pylist()
        if not rewarded.get(row["problem_id"], True)
    )
    recorded = sum(rewarded.values())
    return ({RECORDED: recorded} if recorded else {}) | verifier_counts(others)


def verifier_line(counts: Mapping[str, int], *, recorded: bool = False) -> str:
    """Describe in one line which verifiers ``auto`` chose, and how to choose another.

    Args:
        counts: Problems by verifier.
        recorded: Whether rollouts are recorded: their rewards take precedence over verifiers.

    Example:
        >>> verifier_line({"math": 1117, "words": 3})
        'verifier: math for 1,117 problems, words for 3 (--verifier NAME takes one for all)'
        >>> verifier_line({"math": 1}, recorded=True).partition(" (")[0]
        'verifier: recorded rewards; where there are none, math for 1 problem'
    """
    (first, count), *others = counts.items()
    text = f"{first} for {count:,} {'problem' if count == 1 else 'problems'}"
    text = ", ".join([text, *(f"{name} for {count:,}" for name, count in others)])
    if recorded:
        text = f"{RECORDED}; where there are none, {text}"
    return f"verifier: {text} (--verifier NAME takes one for all)"
