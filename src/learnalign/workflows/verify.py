"""Completions judged outside of a run: a file in, verdicts out, held against somebody else's."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from learnalign.config import Config, VerifierConfig
from learnalign.storage import files
from learnalign.storage.row_files import checked, write_rows
from learnalign.tables import VERDICT_KINDS, gold_text
from learnalign.terminal.progress import Progress
from learnalign.verifying.judging import VERDICT_FIELDS, Verdicts, judged
from learnalign.workflows.answer_files import AnsweredRow, read_answered

#: Characters of a completion's end that are shown.
_END = 120

#: One row a completion.
JUDGED_ROWS = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),  # of the file, from 1
        ("sample", pa.int32()),  # place among the row's completions, from 0
        ("gold", pa.string()),  # as it was read, or as it stands where it could not be
        ("verifier", pa.string()),  # which one judged; null where there is no gold
        *VERDICT_FIELDS,
        ("theirs", pa.bool_()),  # the user's own verdict; null where there is none
        ("differs", pa.bool_()),  # null where either of them has none
        ("end_of_completion", pa.string()),  # where no answer was found, or the verdicts differ
    ]
)


@dataclass(frozen=True)
class Tally:
    """What one verifier judged."""

    verifier: str | None
    """None where a row has no gold that can be read."""
    problems: int
    completions: int
    verdicts: Counter[str]


@dataclass(frozen=True)
class Agreement:
    """Our verdicts and somebody else's on the same completions."""

    counts: Mapping[tuple[bool, bool], int]
    """Completions by whether we, and whether they, call them correct."""
    without_theirs: int
    without_ours: int
    """Theirs is there, but the gold could not be read or the verifier failed."""

    @property
    def compared(self) -> int:
        """How many both have judged."""
        return sum(self.counts.values())

    @property
    def equal(self) -> int:
        """How many both judge alike."""
        return self.counts[True, True] + self.counts[False, False]


@dataclass(frozen=True)
class Judged:
    """What came out."""

    rows: list[dict[str, Any]]
    """Of JUDGED_ROWS, in the order of the files."""
    tallies: list[Tally]
    seconds: float
    """That judging took, without reading and writing."""
    read: list[str]
    """How each file was read."""
    agreement: Agreement | None
    out: Path | None
    replaced: bool
    """Whether an earlier file of verdicts gave way to this one."""


def judge_files(
    paths: Sequence[str],
    config: Config,
    *,
    completion: str | None = None,
    against: str | None = None,
    out: Path | None = None,
    progress: Progress,
) -> Judged:
    """Judge the completions of files by the golds beside them.

    Args:
        paths: What `read_source` reads.
        config: ``data`` says how rows are read, ``verifier`` who judges.
        completion: Column of the completions; found by its name if None.
        against: Column of the user's own verdicts.
        out: File of JUDGED_ROWS: ``.jsonl``, ``.json`` or ``.parquet``.
        progress: Shows how far it is.

    Raises:
        LearnAlignError: for files that cannot be read or written, and as `judged`.
    """
    replaced = out is not None and checked(out, paths, JUDGED_ROWS)
    # The place of the file is tried before the work, not after it.
    with nullcontext() if out is None else files.atomic(out) as temporary:
        if temporary is not None:
            temporary.touch()
        rows, read = [], []
        for path in paths:
            found = read_answered(
                path, config.data, kind=config.verifier.kind, completion=completion, against=against
            )
            rows += found.rows
            read.append(found.line if len(paths) == 1 else f"{path}: {found.line}")
            progress.log(read[-1])
        begin = time.monotonic()
        verdicts = _verdicts(rows, config.verifier, progress)
        seconds = time.monotonic() - begin
        made = [
            line for row, said in zip(rows, verdicts, strict=True) for line in _lines(row, said)
        ]
        if temporary is not None:
            write_rows(temporary, made, JUDGED_ROWS, suffix=out.suffix if out else "")
    agreement = None if against is None else _agreement(made)
    return Judged(made, _tallies(verdicts), seconds, read, agreement, out, replaced)


def _verdicts(
    rows: Sequence[AnsweredRow], config: VerifierConfig, progress: Progress
) -> list[Verdicts]:
    """Judge the rows, those of a verifier together."""
    by_kind: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        by_kind.setdefault(row.kind, []).append(place)
    found: dict[int, Verdicts] = {}
    with progress.late("verdicts", len(rows)) as advance:
        for kind, places in by_kind.items():
            answered = [rows[place].answered for place in places]
            said = judged(answered, config.model_copy(update={"kind": kind}), advance)
            found.update(zip(places, said, strict=True))
    return [found[place] for place in range(len(rows))]


def _lines(row: AnsweredRow, said: Verdicts) -> list[dict[str, Any]]:
    """Give the rows of the output, one a completion."""
    golds = row.answered.golds
    where = {"file": row.file, "row": row.row}
    about = {"gold": gold_text(golds) if golds else row.written_gold, "verifier": said.verifier}
    made = []
    pairs = zip(said.rows, row.theirs, row.answered.completions, strict=True)
    for sample, (verdict, theirs, completion) in enumerate(pairs):
        judged = verdict["reward"] is not None
        differs = (
            (verdict["verdict"] == "correct") != theirs if judged and theirs is not None else None
        )
        shown = differs or verdict["verdict"] == "unparsed_answer"
        ours = {"theirs": theirs, "differs": differs}
        ours["end_of_completion"] = completion[-_END:] if shown else None
        made.append({**where, "sample": sample, **about, **verdict, **ours})
    return made


def _tallies(verdicts: Sequence[Verdicts]) -> list[Tally]:
    """Count by verifier, the busiest first."""
    problems: Counter[str | None] = Counter()
    counts: dict[str | None, Counter[str]] = {}
    for said in verdicts:
        problems[said.verifier] += 1
        counts.setdefault(said.verifier, Counter()).update(row["verdict"] for row in said.rows)
    return [
        Tally(name, number, counts[name].total(), counts[name])
        for name, number in problems.most_common()
    ]


def _agreement(rows: Sequence[Mapping[str, Any]]) -> Agreement:
    both = [row for row in rows if row["differs"] is not None]
    counts = Counter((row["verdict"] == "correct", row["theirs"]) for row in both)
    theirs = sum(row["theirs"] is not None for row in rows)
    return Agreement(counts, len(rows) - theirs, theirs - len(both))


def differing(done: Judged) -> list[dict[str, Any]]:
    """Give the rows in which we and they differ."""
    return [row for row in done.rows if row["differs"]]


def summary(done: Judged) -> dict[str, Any]:
    """Give all that is said of the verdicts, as a tree for JSON."""
    total = len(done.rows)
    tree: dict[str, Any] = {
        "out": None if done.out is None else str(done.out),
        "read": done.read,
        "verifiers": [
            {"verifier": tally.verifier, "problems": tally.problems}
            | {"completions": tally.completions}
            | {kind: tally.verdicts[kind] for kind in VERDICT_KINDS}
            for tally in done.tallies
        ],
        "seconds": round(done.seconds, 3),
        "verdicts_per_s": round(total / done.seconds, 1) if done.seconds > 0 else None,
        "against": None,
    }
    if (agreement := done.agreement) is not None:
        counts = agreement.counts
        tree["against"] = {
            "compared": agreement.compared,
            "equal": agreement.equal,
            "agreement": agreement.equal / agreement.compared if agreement.compared else None,
            "both_correct": counts[True, True],
            "ours_alone_correct": counts[True, False],
            "theirs_alone_correct": counts[False, True],
            "both_wrong": counts[False, False],
            "without_theirs": agreement.without_theirs,
            "without_ours": agreement.without_ours,
        }
    return tree
