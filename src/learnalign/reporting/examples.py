"""The first and last problems of the ranking, with the model's rollouts."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.problems.suites.shown import shown_gold

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
    """Without its middle, if it is long."""
    num_omitted: int
    """Characters of the completion that are left out."""
    verdict: str
    mark: str
    reward: float | None
    extracted_answer: str | None
    """The text that was extracted as the answer."""
    parsed_answer: str | None
    """The extracted answer, parsed."""
    detail: str | None
    """Why there is no verdict, or which test a program fails; None if it is correct."""
    num_tokens: int | None
    truncated: bool


@dataclass(frozen=True)
class Example:
    """One problem of the ranking: its scores, prompt, gold answer and rollouts."""

    scores: dict[str, Any]
    prompt: str
    answer: str | None
    attempts: list[Attempt]
    num_hidden: int
    """Number of rollouts that are not shown."""


def shown_ids(scores: pa.Table, num_each: int = 5) -> tuple[list[str], list[str]]:
    """Return the ids of the first and last problems of the ranking, without duplicates.

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
    """Collect the data of the problems ``ids``, in that order; missing data stays empty."""
    wanted = pa.array(ids, pa.string())
    score_rows = {row["problem_id"]: row for row in _rows(scores, wanted)}
    problem_rows = {row["problem_id"]: row for row in _rows(problems, wanted)}
    groups = attempts(*(t.filter(pc.is_in(t["problem_id"], wanted)) for t in (rollouts, verdicts)))
    result = []
    for problem_id in ids:
        all_attempts = groups.get(problem_id, [])
        problem = problem_rows.get(problem_id, {})
        result.append(
            Example(
                scores=score_rows[problem_id],
                prompt=shortened(problem.get("prompt") or ""),
                answer=readable_gold(problem.get("answer")),
                attempts=all_attempts[:MAX_ROLLOUTS],
                num_hidden=max(0, len(all_attempts) - MAX_ROLLOUTS),
            )
        )
    return result


def attempts(rollouts: pa.Table, verdicts: pa.Table) -> dict[str, list[Attempt]]:
    """Join rollouts with their verdicts, by problem and in the order of the samples."""
    by_sample = {(row["problem_id"], row["sample"]): row for row in verdicts.to_pylist()}
    lengths = pc.list_value_length(rollouts["token_ids"])
    columns = ["problem_id", "sample", "completion", "finish_reason"]
    rows = rollouts.select(columns).append_column("num_tokens", lengths).to_pylist()
    groups: dict[str, list[Attempt]] = {}
    for row in sorted(rows, key=lambda row: row["sample"]):
        verdict = by_sample.get((row["problem_id"], row["sample"]))
        groups.setdefault(row["problem_id"], []).append(_attempt(row, verdict))
    return groups


def shortened(text: str) -> str:
    """Cut the middle out of a long text, with a note of its length.

    Example:
        >>> shortened("short")
        'short'
        >>> len(shortened("x" * 1_000_000)) < 6100
        True
    """
    omitted = num_omitted(text)
    if not omitted:
        return text
    note = f"\n[… {omitted:,} characters omitted …]\n"
    return text[:HEAD_CHARACTERS] + note + text[-TAIL_CHARACTERS:]


def num_omitted(text: str) -> int:
    """Return how many characters `shortened` cuts out.

    Example:
        >>> num_omitted("short"), num_omitted("x" * 6010)
        (0, 10)
    """
    return max(0, len(text) - HEAD_CHARACTERS - TAIL_CHARACTERS)


def readable_gold(answer: str | None) -> str | None:
    """Return a gold for a reader, as `learnalign.problems.suites.shown.shown_gold`, shortened."""
    return None if answer is None else shortened(shown_gold(answer))


def _attempt(rollout: dict[str, Any], verdict: dict[str, Any] | None) -> Attempt:
    kind = verdict["verdict"] if verdict else "error"
    completion = rollout["completion"] or ""
    return Attempt(
        sample=rollout["sample"],
        completion=shortened(completion),
        num_omitted=num_omitted(completion),
        verdict=kind.replace("_", " ") if verdict else "no verdict",
        mark=MARKS[kind],
        reward=verdict["reward"] if verdict else None,
        extracted_answer=_text(verdict, "extracted_answer"),
        parsed_answer=_text(verdict, "parsed_answer"),
        detail=_text(verdict, "detail") if kind != "correct" else None,
        num_tokens=rollout["num_tokens"],
        truncated=rollout["finish_reason"] == "length",
    )


def _text(verdict: dict[str, Any] | None, column: str) -> str | None:
    text = verdict[column] if verdict else None
    return None if text is None else shortened(text)


def _rows(table: pa.Table, wanted: pa.Array) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.filter(pc.is_in(table["problem_id"], wanted)).to_pylist()
    return rows
