"""Verdicts for golds and completions outside a run, for files and for Python."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from learnalign.config import VerifierConfig
from learnalign.problems.chats import Messages
from learnalign.problems.golds import Gold, GoldReader
from learnalign.problems.nested import empty
from learnalign.problems.suites.registry import tests_gold
from learnalign.tables import PROBLEMS, ROLLOUTS, VERDICTS, gold_text
from learnalign.verifying.question import Question
from learnalign.verifying.routing import route
from learnalign.verifying.trainer_values import completion_text
from learnalign.verifying.verifier import Verifier, open_verifier

#: Number of problems to judge at a time.
_BATCH = 1024

#: The verdict columns of a completion.
VERDICT_FIELDS = [field for field in VERDICTS if field.name not in ("problem_id", "sample")]

#: One row per completion.
JUDGED = pa.schema(
    [
        ("problem", pa.int64()),  # 0-based index of its gold
        ("sample", pa.int32()),  # 0-based index among the problem's completions
        ("gold", pa.string()),  # as parsed; several correct ones: see `tables.golds`
        ("verifier", pa.string()),  # the verifier used; null without a gold
        *VERDICT_FIELDS,
    ]
)


@dataclass(frozen=True)
class Answered:
    """A problem and its completions, without lone surrogates in any text (`encodable`)."""

    golds: tuple[str, ...]
    """Any of them is correct; empty if none could be parsed."""
    completions: tuple[str, ...]
    prompt: str = ""
    messages: Messages = field(default_factory=list)
    row: str = "{}"
    """The user's row as JSON text."""
    detail: str = ""
    """Why it has no gold."""


class Verdicts(NamedTuple):
    """The verdicts on a problem's completions."""

    verifier: str | None
    """The verifier used; None without a gold."""
    rows: list[dict[str, Any]]
    """For each completion, the columns of VERDICTS except problem_id and sample."""


def judge(
    golds: Sequence[Any],
    completions: Sequence[Any],
    *,
    prompts: Sequence[str] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
    config: VerifierConfig | None = None,
) -> pa.Table:
    """Judge completions against their golds.

    Args:
        golds: (n,) golds, parsed like a selection's column of answers: text, numbers, or lists of
            texts, any of which is correct.
        completions: (n,) inputs of `completions_of`.
        prompts: (n,) prompts, for the options of multiple-choice questions.
        rows: (n,) other columns, for reasoning-gym and your own functions.
        config: Verifier and limits; ``auto`` by default.

    Returns:
        JUDGED table, one row per completion. If a gold cannot be parsed, the verdict is
        ``unparsed_gold`` and the reward is null.

    Raises:
        LearnAlignError: for an unknown verifier, a completion without text, or a user's function
            that fails.
        ValueError: if the arguments differ in length.

    Example:
        >>> table = judge(["7", "#### 1,200"], [["It is 7.", "8"], "1200"],
        ...     config=VerifierConfig(kind="number"))
        >>> table.select(["problem", "sample", "gold", "verdict"]).to_pylist()[1:]
        ... # doctest: +NORMALIZE_WHITESPACE
        [{'problem': 0, 'sample': 1, 'gold': '7', 'verdict': 'wrong'},
         {'problem': 1, 'sample': 0, 'gold': '1200', 'verdict': 'correct'}]
    """
    count = len(golds)
    prompts, rows = prompts or [""] * count, rows or [{}] * count
    values = [gold.tolist() if hasattr(gold, "tolist") else gold for gold in golds]
    reader = GoldReader(values, None)
    answered = []
    for value, completion, prompt, row in zip(values, completions, prompts, rows, strict=True):
        tests = tests_gold(value)
        gold = reader.read(value) if tests is None else Gold((tests,), "tests")
        answered.append(
            Answered(
                tuple(map(encodable, gold.texts)),
                tuple(map(encodable, completions_of(completion))),
                prompt=encodable(prompt),
                row=json.dumps(row, default=str),
                detail=gold.detail or gold.reason,
            )
        )
    judged_rows = [
        {"problem": i, "sample": g, "gold": gold_text(problem.golds) if problem.golds else None}
        | {"verifier": verdicts.verifier, **verdict}
        for i, (problem, verdicts) in enumerate(
            zip(answered, judged(answered, config or VerifierConfig()), strict=True)
        )
        for g, verdict in enumerate(verdicts.rows)
    ]
    return pa.Table.from_pylist(judged_rows, schema=JUDGED)


def judged(
    answered: Sequence[Answered],
    config: VerifierConfig,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Verdicts]:
    """Judge problems in order with one set of workers.

    Args:
        answered: The problems.
        config: Verifier and limits.
        progress: Called with the number of problems just completed.

    Yields:
        The verdicts of each problem.

    Raises:
        LearnAlignError: as `open_verifier` and `Verifier.verify`.
    """
    with open_verifier(config) as verifier:
        for begin in range(0, len(answered), _BATCH):
            yield from _judge_batch(answered[begin : begin + _BATCH], verifier, progress)


def completions_of(content: Any) -> list[str]:
    """Read the completions of a problem: a single one or a list.

    A completion is text, a number, a chat (its last message counts), a message or its parts; null
    is read as empty text.

    Raises:
        LearnAlignError: for a completion without text.

    Example:
        >>> chat = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
        >>> completions_of("4"), completions_of(chat), completions_of([chat, None, 5])
        (['4'], ['4'], ['4', '', '5'])
        >>> completions_of([{"text": "4"}, {"text": "5"}])
        ['4', '5']
        >>> completions_of([{"type": "text", "text": "It is "}, {"type": "text", "text": "4"}])
        ['It is 4']
    """
    content = content.tolist() if hasattr(content, "tolist") else content
    return [_text(item) for item in (content if _is_several(content) else [content])]


def _is_several(content: Any) -> bool:
    """Return whether a value is a list of completions, not a chat or the parts of a message."""
    if not isinstance(content, list | tuple):
        return False
    are_parts = [isinstance(x, Mapping) and ("role" in x or "type" in x) for x in content]
    return not (are_parts and all(are_parts))


def _text(content: Any) -> str:
    if empty(content):
        return ""
    number = isinstance(content, int | float) and not isinstance(content, bool)
    return str(content) if number else completion_text(content)


def encodable(text: str) -> str:
    r"""Replace lone surrogates, which UTF-8 and so tables cannot represent.

    Example:
        >>> encodable("4 \ud83d"), encodable("\U0001f600") == "\U0001f600"
        ('4 ?', True)
    """
    return text.encode(errors="replace").decode()


def _judge_batch(
    answered: Sequence[Answered], verifier: Verifier, progress: Callable[[int], None] | None
) -> Iterator[Verdicts]:
    """Judge some problems using the tables of a run."""
    rows, rollouts = [], []
    for number, problem in enumerate(answered):
        if problem.golds:
            key = {"problem_id": str(number)}
            row = {"row": problem.row, "prompt": problem.prompt, "messages": problem.messages}
            rows.append(key | row | {"answer": gold_text(problem.golds)})
            rollouts += [
                key | {"sample": sample, "completion": text, "token_ids": []}
                for sample, text in enumerate(problem.completions)
            ]
        if progress is not None and not (problem.golds and problem.completions):
            progress(1)
    table = verifier.verify(
        pa.Table.from_pylist(rows, schema=PROBLEMS),
        pa.Table.from_pylist(rollouts, schema=ROLLOUTS),
        progress,
    )
    names = [field.name for field in VERDICT_FIELDS]
    verdicts = iter(table.select(names).to_pylist())
    for problem in answered:
        if problem.golds:
            question = Question(problem.golds, problem.prompt, json.loads(problem.row))
            kind = route(verifier.kind, question)
            yield Verdicts(kind, [next(verdicts) for _ in problem.completions])
        else:
            unparsed = {"verdict": "unparsed_gold", "detail": problem.detail}
            verdict = dict.fromkeys(names) | unparsed
            yield Verdicts(None, [dict(verdict) for _ in problem.completions])
