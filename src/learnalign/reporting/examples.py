"""The first and the last problems of the ranking, with all that the model made of them."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

HEAD_CHARACTERS, TAIL_CHARACTERS = 4000, 2000
MAX_ROLLOUTS = 16

MARKS = {
    "correct": "✓",
    "wrong": "✗",
    "unparsed_answer": "?",
    "unparsed_gold": "?",
    "timed_out": "T",
    "error": "!",
}


@dataclass(frozen=True)
class Attempt:
    """One rollout and its verdict."""

    sample: int
    completion: str
    verdict: str
    mark: str
    reward: float | None
    extracted_answer: str | None
    """The text that was taken for the answer."""
    parsed_answer: str | None
    """What was read in it."""
    detail: str | None
    """Why there is no verdict on the answer; None where it is right or wrong."""
    num_tokens: int | None
    truncated: bool


@dataclass(frozen=True)
class Example:
    """One problem of the ranking: its row of scores, its prompt and gold answer, its rollouts."""

    scores: dict[str, Any]
    prompt: str
    answer: str | None
    attempts: list[Attempt]
    num_hidden: int
    """Rollouts that are not shown."""


def shown_ids(scores: pa.Table, num_each: int = 5) -> tuple[list[str], list[str]]:
    """Name the first and the last problems of the ranking; no problem is named twice.

    Example:
        >>> table = pa.table({"problem_id": ["b", "a", "c"], "rank": [2, 1, 3]})
        >>> shown_ids(table, num_each=2)
        (['a', 'b'], ['c'])
    """
    ranked = scores.select(["problem_id", "rank"]).sort_by("rank")["problem_id"].to_pylist()
    first = ranked[:num_each]
    return first, ranked[max(len(first), len(ranked) - num_each) :]


def examples(
    ids: list[str], *, problems: pa.Table, rollouts: pa.Table, verdicts: pa.Table, scores: pa.Table
) -> list[Example]:
    """Gather what is known of the problems ``ids``, in that order; what is unknown stays empty."""
    wanted = pa.array(ids, pa.string())
    rows = {row["problem_id"]: row for row in _where(scores, wanted)}
    known = {row["problem_id"]: row for row in _where(problems, wanted)}
    said = {(row["problem_id"], row["sample"]): row for row in _where(verdicts, wanted)}
    attempts: dict[str, list[Attempt]] = {problem_id: [] for problem_id in ids}
    for rollout in _where(rollouts, wanted):
        problem_id = rollout["problem_id"]
        attempts[problem_id].append(_attempt(rollout, said.get((problem_id, rollout["sample"]))))
    made = []
    for problem_id in ids:
        all_attempts = sorted(attempts[problem_id], key=lambda attempt: attempt.sample)
        problem = known.get(problem_id, {})
        made.append(
            Example(
                scores=rows[problem_id],
                prompt=shortened(problem.get("prompt") or ""),
                answer=problem.get("answer"),
                attempts=all_attempts[:MAX_ROLLOUTS],
                num_hidden=max(0, len(all_attempts) - MAX_ROLLOUTS),
            )
        )
    return made


def shortened(text: str) -> str:
    """Leave out the middle of a long text and say how much it was.

    Example:
        >>> shortened("short")
        'short'
        >>> len(shortened("x" * 1_000_000)) < 6100
        True
    """
    left_out = len(text) - HEAD_CHARACTERS - TAIL_CHARACTERS
    if left_out <= 0:
        return text
    note = f"\n[… {left_out:,} characters left out …]\n"
    return text[:HEAD_CHARACTERS] + note + text[-TAIL_CHARACTERS:]


def _attempt(rollout: dict[str, Any], said: dict[str, Any] | None) -> Attempt:
    verdict = said["verdict"] if said else "error"
    return Attempt(
        sample=rollout["sample"],
        completion=shortened(rollout["completion"] or ""),
        verdict=verdict.replace("_", " ") if said else "no verdict",
        mark=MARKS[verdict],
        reward=said["reward"] if said else None,
        extracted_answer=_answer(said, "extracted_answer"),
        parsed_answer=_answer(said, "parsed_answer"),
        detail=_answer(said, "detail") if verdict not in ("correct", "wrong") else None,
        num_tokens=len(rollout["token_ids"]) if rollout["token_ids"] is not None else None,
        truncated=rollout["finish_reason"] == "length",
    )


def _answer(said: dict[str, Any] | None, column: str) -> str | None:
    text = said[column] if said else None
    return None if text is None else shortened(text)


def _where(table: pa.Table, wanted: pa.Array) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.filter(pc.is_in(table["problem_id"], wanted)).to_pylist()
    return rows
