"""What a format of rollouts declares: how its rows are recognised and read, and what to know.

`Format.plain` turns a row into plain rows, which have this project's names:

- ``problem_id`` and other ids, ``prompt`` (text or messages) or ``prompt_ids``: whose it is;
- ``completion``, or ``token_ids`` and ``logprobs``: the response; or ``multi_turn`` for anything
  other than one response to a prompt (several turns, calls of tools);
- ``may_be_empty``, where an empty text is a response that ended at once, not a failed attempt;
- ``reasoned``, if its thinking is recorded apart from a completion's text;
- ``reward``, ``finish_reason``, ``step``, ``model``, ``temperature``, ``top_p``, ``mixed`` (the
  policy changed meanwhile), and ``failed`` (an attempt without a result);
- or ``counted_rewards``: the rewards of a problem's rollouts, of which nothing else is known.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from learnalign.rollouts.imports.record import Record

Row = Mapping[str, Any]
PlainRow = dict[str, Any]


def _as_it_is(row: Row) -> list[PlainRow]:
    return [dict(row)]


def _is_not(row: Row) -> bool:
    return False


def _no_facts(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


def _no_repetition(path: Path) -> bool:
    return False


def _no_correction(records: list[Record]) -> tuple[list[Record], Counter[str]]:
    return records, Counter()


@dataclass(frozen=True)
class Format:
    """A format in which rollouts are found."""

    name: str
    """What ``--import`` calls it."""
    writer: str
    """Who writes it, and with which setting."""
    where: str
    """The path to give."""
    tokens: Literal["exact", "text", "counts"]
    """exact: the sampled tokens; text: their text; counts: only rewards."""
    columns: tuple[Set[str], ...]
    """A row is of this format if it has all columns of one of these sets,"""
    unless: Callable[[Row], bool] = _is_not
    """and this does not apply. A row of a format that the user names needs only the columns."""
    note: str = ""
    """What to know, for the table in the docs."""
    plain: Callable[[Row], list[PlainRow]] = _as_it_is
    of_file: Callable[[Path, list[dict[str, Any]]], dict[str, Any]] = _no_facts
    """Columns that a file's name, its neighbours or all of its rows say of each row."""
    rollout_ids: Set[str] = frozenset(
        {"rollout_id", "sample_idx", "sample_id", "request_id", "trace_id", "episode_id"}
    )
    """Columns that name a rollout, rather than its problem."""
    is_step_a_file: bool = False
    """Whether all rollouts of a step are in one file."""
    is_whole_file: bool = False
    """Whether a JSON file is one row, whatever lists it contains."""
    side_files: tuple[str, ...] = ()
    """Patterns of paths, from the folder, that have no rollouts where others are of this format."""
    validation: tuple[str, ...] = ()
    """Patterns of paths, from the folder, with rollouts of the validation problems."""
    repeats: Callable[[Path], bool] = _no_repetition
    """Whether a file repeats what another file beside it says more completely."""
    corrected: Callable[[list[Record]], tuple[list[Record], Counter[str]]] = _no_correction
    """Corrections that need all rollouts of the import, and counts of them."""

    def matches(self, row: Row) -> bool:
        """Return whether a row is recognised as one of this format."""
        return self.has_columns(row) and not self.unless(row)

    def has_columns(self, row: Row) -> bool:
        """Return whether a row has the columns that this format needs."""
        return any(known <= row.keys() for known in self.columns)


def number_in(pattern_match: Any) -> dict[str, int]:
    r"""Return a step that a name contains as a plain row's column.

    Example:
        >>> import re
        >>> number_in(re.search(r"step(\d+)", "step12")), number_in(None)
        ({'step': 12}, {})
    """
    return {} if pattern_match is None else {"step": int(pattern_match.group(1))}
