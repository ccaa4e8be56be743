"""A selection as rows that a trainer reads: rows in its format as they are, others built."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.formats.gold import holds, note_replaced
from learnalign.formats.jsonl import line, lossy_warning, without_clashes
from learnalign.formats.rows import PREFIX, Block, Notes, check_prompts, require_no_agent
from learnalign.formats.trainers.registry import TRAINERS
from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, at
from learnalign.problems.golds import answer_of
from learnalign.problems.suites.registry import is_tests
from learnalign.tables import SCORED_PROMPT

#: The user's own row as JSON text, in rows that were built.
OWN_ROW = f"{PREFIX}row"
_NOT_MATHS = (
    "the gold of code problems (`{}`) is their tests as your data has them, in rows that are built "
    "for mathematics: choose a verifier of programs in {}, or every answer is wrong there"
)


def trainer_lines(kind: str, parts: Sequence[Block], notes: Notes) -> list[str]:
    """Format every row as a line of JSON in a trainer's format, in the order of the file.

    A row that is already in the format keeps all its columns, and ours are added. Other rows are
    built from the messages, the gold and the source; the user's own row is JSON text in
    ``learnalign_row``.

    Args:
        kind: A name in `TRAINERS`.
        parts: The rows by source.
        notes: Receives the warnings and hints.

    Returns:
        (n,) lines without line breaks.

    Raises:
        LearnAlignError: if a conversation does not fit a format whose prompt is one text, or a row
            for an agent is in another format.
    """
    form = TRAINERS[kind]
    lines = [""] * sum(len(part.positions) for part in parts)
    lossy: set[str] = set()
    for part in parts:
        own_prompts, own_places = [], []
        texts = part.problems["row"].to_pylist()
        ours = part.ours.to_pylist()
        prompts = part.problems["prompt"].to_pylist()
        for place, (row, problem) in enumerate(zip(part.dicts(), _problems(part), strict=True)):
            mine = ours[place] | {SCORED_PROMPT: prompts[place]}
            text: str | None = None
            if form.recognises(row):
                extra = _changes(form, row, problem, part, notes)
                text = texts[place] if part.typed is None else None
                own_prompts.append(form.asked(row))
                own_places.append(place)
            else:
                require_no_agent(form.trainer, row, problem.problem_id)
                _require_fits(form, problem)
                extra, row = {OWN_ROW: texts[place]}, form.build(problem)
                notes.hint(f"rows were built in {form.trainer}'s format; yours: `{OWN_ROW}`")
                if is_tests(problem.gold):
                    notes.warn(_NOT_MATHS.format(".".join(form.gold), form.trainer))
            extra |= without_clashes(mine, row, notes)
            lines[int(part.positions[place])] = line(row, extra, text, lossy)
        if part.scored_messages is None:
            check_prompts(own_prompts, part.problems.take(pa.array(own_places, pa.int64())), notes)
    if lossy:
        notes.warn(lossy_warning(lossy))
    return lines


def _problems(part: Block) -> list[Problem]:
    scored = part.scored_messages
    messages = part.problems["messages"] if scored is None else scored
    columns = (messages, *(part.problems[name] for name in ("problem_id", "answer", "source")))
    return [
        Problem(name, chat, gold, source or "default")
        for chat, name, gold, source in zip(*(each.to_pylist() for each in columns), strict=True)
    ]


def _changes(form: RowFormat, row: Row, problem: Problem, part: Block, notes: Notes) -> Row:
    """Return what changes in a row of the trainer's format: another gold, the scored prompt."""
    changed: Row = {}
    prompt, gold = form.paths(row)
    if part.scored_messages is not None:
        _require_fits(form, problem)
        prompt = prompt if form.text_prompt else form.prompt
        changed |= _with(row, prompt, at(form.build(problem), form.prompt))
        if form.system and at(row, form.system) is not None:  # it is one of the messages
            changed |= _with({**row, **changed}, form.system, None)
        notes.hint(f"`{'.'.join(prompt)}` is the scored prompt, replacing your own")
    own = at(row, gold)
    if part.overwrite_gold and own is not None and not holds(own, problem.gold):
        name, kept = ".".join(gold), f"{PREFIX}own_{gold[-1]}"
        note_replaced(name, kept, answer_of(own) == problem.gold, notes)
        changed |= _with({**row, **changed}, gold, problem.gold)
        changed[kept] = row.get(kept, own if isinstance(own, str) else json.dumps(own))
    return changed


def _with(row: Mapping[str, Any], path: tuple[str, ...], value: Any) -> Row:
    """Return the top-level column of a path with another value at the path."""
    if len(path) == 1:
        return {path[0]: value}
    inner = row.get(path[0]) or {}
    return {path[0]: {**inner, **_with(inner, path[1:], value)}}


def _require_fits(form: RowFormat, problem: Problem) -> None:
    if form.text_prompt and len(problem.messages) != 1:
        others = ", ".join(name for name, one in TRAINERS.items() if not one.text_prompt)
        roles = ", ".join(message["role"] for message in problem.messages)
        raise LearnAlignError(
            f"got the problem {problem.problem_id} with messages of {roles}, for {form.trainer}",
            expected=f"one user message: the prompt in {form.trainer}'s rows is one text",
            do=f"choose a format for conversations (--as {others}); a system prompt of the run's "
            f"(--system) belongs into {form.system_prompt}, with --prompts own here",
        )
