"""Verdicts for golds and completions without a run, for files and for Python."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from learnalign.config import VerifierConfig
from learnalign.problems.chats import Messages
from learnalign.problems.golds import GoldReader
from learnalign.problems.nested import empty
from learnalign.tables import PROBLEMS, ROLLOUTS, VERDICTS, gold_text
from learnalign.verifying.question import Question
from learnalign.verifying.routing import route
from learnalign.verifying.trainer_values import completion_text
from learnalign.verifying.verifier import Verifier, open_verifier

#: Problems whose requests are in memory at once.
_PART = 1024

#: What is said of a completion.
SAID = [field for field in VERDICTS if field.name not in ("problem_id", "sample")]

#: One row a completion.
JUDGED = pa.schema(
    [
        ("problem", pa.int64()),  # place of its gold, from 0
        ("sample", pa.int32()),  # place among the problem's completions, from 0
        ("gold", pa.string()),  # as it was read; of several right ones: see `tables.golds`
        ("verifier", pa.string()),  # which one judged; null where there is no gold
        *SAID,
    ]
)


@dataclass(frozen=True)
class Answered:
    """A problem and what was answered to it; all text is of whole characters (`whole`)."""

    golds: tuple[str, ...]
    """Any of them is right; empty if none could be read."""
    completions: tuple[str, ...]
    prompt: str = ""
    messages: Messages = field(default_factory=list)
    row: str = "{}"
    """The user's own row as JSON text."""
    detail: str = ""
    """Why there is no gold."""


class Verdicts(NamedTuple):
    """The verdicts on a problem's completions."""

    verifier: str | None
    """Which one judged; None where there is no gold."""
    rows: list[dict[str, Any]]
    """The columns of VERDICTS but for problem_id and sample, completion by completion."""


def judge(
    golds: Sequence[Any],
    completions: Sequence[Any],
    *,
    prompts: Sequence[str] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
    config: VerifierConfig | None = None,
) -> pa.Table:
    """Judge completions by their golds.

    Args:
        golds: (n,) golds, read as a selection reads a column of answers: text, numbers, lists of
            texts any of which is right.
        completions: (n,) of what `completions_of` reads.
        prompts: (n,) what was asked, for the options of a multiple choice.
        rows: (n,) further columns, for reasoning-gym and functions of your own.
        config: Which verifier, and its limits; ``auto`` if not given.

    Returns:
        JUDGED table, a row a completion. Where a gold cannot be read the verdict is
        ``unparsed_gold`` and there is no reward.

    Raises:
        LearnAlignError: for an unknown verifier, a completion without text, or a function of the
            user's that fails.
        ValueError: if there are not as many of one as of the other.

    Example:
        >>> found = judge(["7", "#### 1,200"], [["It is 7.", "8"], "1200"],
        ...     config=VerifierConfig(kind="number"))
        >>> found.select(["problem", "sample", "gold", "verdict"]).to_pylist()[1:]
        ... # doctest: +NORMALIZE_WHITESPACE
        [{'problem': 0, 'sample': 1, 'gold': '7', 'verdict': 'wrong'},
         {'problem': 1, 'sample': 0, 'gold': '1200', 'verdict': 'correct'}]
    """
    count = len(golds)
    asked, own = prompts or [""] * count, rows or [{}] * count
    values = [gold.tolist() if hasattr(gold, "tolist") else gold for gold in golds]
    reader = GoldReader(values, None)
    answered = []
    for value, said, prompt, row in zip(values, completions, asked, own, strict=True):
        gold = reader.read(value)
        answered.append(
            Answered(
                tuple(map(whole, gold.texts)),
                tuple(map(whole, completions_of(said))),
                prompt=whole(prompt),
                row=json.dumps(row, default=str),
                detail=gold.detail or gold.reason,
            )
        )
    found = [
        {"problem": i, "sample": g, "gold": gold_text(one.golds) if one.golds else None}
        | {"verifier": verdicts.verifier, **said}
        for i, (one, verdicts) in enumerate(
            zip(answered, judged(answered, config or VerifierConfig()), strict=True)
        )
        for g, said in enumerate(verdicts.rows)
    ]
    return pa.Table.from_pylist(found, schema=JUDGED)


def judged(
    answered: Sequence[Answered],
    config: VerifierConfig,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Verdicts]:
    """Judge problem by problem, in their order, with one set of workers.

    Args:
        answered: The problems.
        config: Which verifier, and its limits.
        progress: Called with the number of problems just done.

    Yields:
        The verdicts of each problem, as they are known.

    Raises:
        LearnAlignError: as `open_verifier` and `Verifier.verify`.
    """
    with open_verifier(config) as verifier:
        for begin in range(0, len(answered), _PART):
            yield from _part(answered[begin : begin + _PART], verifier, progress)


def completions_of(content: Any) -> list[str]:
    """Read the completions of a problem: one, or a list of them.

    Each is a text, a number, a chat (its last message counts), a message or its parts; one that is
    null is empty.

    Raises:
        LearnAlignError: for one without text.

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
    return [_text(one) for one in (content if _is_several(content) else [content])]


def _is_several(content: Any) -> bool:
    """Whether a value is a list of completions, and not one chat or the parts of one message."""
    if not isinstance(content, list | tuple):
        return False
    of_one = [isinstance(x, Mapping) and ("role" in x or "type" in x) for x in content]
    return not (of_one and all(of_one))


def _text(content: Any) -> str:
    if empty(content):
        return ""
    number = isinstance(content, int | float) and not isinstance(content, bool)
    return str(content) if number else completion_text(content)


def whole(text: str) -> str:
    r"""Replace halves of characters, which no table holds.

    Example:
        >>> whole("4 \ud83d"), whole("\U0001f600") == "\U0001f600"
        ('4 ?', True)
    """
    return text.encode(errors="replace").decode()


def _part(
    answered: Sequence[Answered], verifier: Verifier, progress: Callable[[int], None] | None
) -> Iterator[Verdicts]:
    """Judge some problems by way of the tables of a run."""
    problems, rollouts = [], []
    for number, one in enumerate(answered):
        if one.golds:
            key = {"problem_id": str(number)}
            known = {"row": one.row, "prompt": one.prompt, "messages": one.messages}
            problems.append(key | known | {"answer": gold_text(one.golds)})
            rollouts += [
                key | {"sample": sample, "completion": text, "token_ids": []}
                for sample, text in enumerate(one.completions)
            ]
        if progress is not None and not (one.golds and one.completions):
            progress(1)
    table = verifier.verify(
        pa.Table.from_pylist(problems, schema=PROBLEMS),
        pa.Table.from_pylist(rollouts, schema=ROLLOUTS),
        progress,
    )
    verdict_rows = iter(table.select([field.name for field in SAID]).to_pylist())
    for one in answered:
        if one.golds:
            asked = {"golds": one.golds, "row": json.loads(one.row), "prompt": one.prompt}
            kind = route(verifier.kind, Question.of(asked))
            yield Verdicts(kind, [next(verdict_rows) for _ in one.completions])
        else:
            nothing = dict.fromkeys(field.name for field in SAID)
            row = nothing | {"verdict": "unparsed_gold", "detail": one.detail}
            yield Verdicts(None, [dict(row) for _ in one.completions])
