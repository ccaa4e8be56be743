"""Judge files of completions outside a run, and compare the verdicts with another judge's."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from learnalign.config import Config, VerifierConfig
from learnalign.problems.sources import NoRowsError
from learnalign.storage import files
from learnalign.storage.row_files import checked, write_rows
from learnalign.tables import VERDICT_KINDS, gold_text
from learnalign.terminal.progress import Progress
from learnalign.verifying.judging import VERDICT_FIELDS, Verdicts, judged
from learnalign.workflows.answer_files import AnsweredFile, AnsweredRow, read_answered

#: Characters shown of the end of a completion.
_END = 120

#: One row per completion.
JUDGED_ROWS = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),  # row of the file, from 1
        ("sample", pa.int32()),  # index among the row's completions, from 0
        ("gold", pa.string()),  # as parsed, or as written if it cannot be read
        ("verifier", pa.string()),  # null if the gold cannot be read
        *VERDICT_FIELDS,
        ("theirs", pa.bool_()),  # the user's own verdict; null if missing
        ("differs", pa.bool_()),  # null if either verdict is missing
        ("end_of_completion", pa.string()),  # set if no answer was found or the verdicts differ
    ]
)


@dataclass(frozen=True)
class Tally:
    """Counts of one verifier's verdicts."""

    verifier: str | None
    """None for rows whose gold answer cannot be read."""
    problems: int
    completions: int
    verdicts: Counter[str]


@dataclass(frozen=True)
class Agreement:
    """Agreement between our verdicts and another judge's on the same completions."""

    counts: Mapping[tuple[bool, bool], int]
    """Number of completions by (ours is correct, theirs is correct)."""
    without_theirs: int
    without_ours: int
    """Completions with their verdict, but an unreadable gold answer or a failed verifier."""

    @property
    def compared(self) -> int:
        """Number of completions that both judged."""
        return sum(self.counts.values())

    @property
    def equal(self) -> int:
        """Number of completions with equal verdicts."""
        return self.counts[True, True] + self.counts[False, False]


@dataclass(frozen=True)
class Judged:
    """The judged completions."""

    rows: list[dict[str, Any]]
    """Rows of JUDGED_ROWS, in the order of the files."""
    tallies: list[Tally]
    seconds: float
    """Time spent judging, without reading and writing."""
    read: list[str]
    """A line per file about how it was read."""
    agreement: Agreement | None
    out: Path | None
    replaced: bool
    """Whether the output replaced an earlier file of verdicts."""


def judge_files(
    paths: Sequence[str],
    config: Config,
    *,
    completion: str | None = None,
    against: str | None = None,
    out: Path | None = None,
    progress: Progress,
) -> Judged:
    """Judge the completions in files against their gold answers.

    Args:
        paths: Any sources that `read_source` reads.
        config: Uses ``data`` (how to read rows) and ``verifier``.
        completion: Column of the completions; None finds it by name.
        against: Column of the user's own verdicts.
        out: Output file of JUDGED_ROWS: ``.jsonl``, ``.json`` or ``.parquet``.
        progress: Shows the progress.

    Raises:
        LearnAlignError: for files that cannot be read or written, and the errors of `judged`.
    """
    replaced = out is not None and checked(out, paths, JUDGED_ROWS)
    # Fail before the work, not after it, if the output file cannot be written.
    with nullcontext() if out is None else files.atomic(out) as temporary:
        if temporary is not None:
            temporary.touch()
        rows, read = [], []
        blank: list[NoRowsError] = []
        for path in paths:
            try:
                file = read_answered(
                    path,
                    config.data,
                    kind=config.verifier.kind,
                    completion=completion,
                    against=against,
                )
            except NoRowsError as error:
                blank.append(error)
                file = AnsweredFile([], "no rows")
            rows += file.rows
            read.append(file.line if len(paths) == 1 else f"{path}: {file.line}")
            progress.log(read[-1])
        if len(blank) == len(paths):
            raise blank[0]
        begin = time.monotonic()
        verdicts = _verdicts(rows, config.verifier, progress)
        seconds = time.monotonic() - begin
        judged_rows = [
            line
            for row, verdict in zip(rows, verdicts, strict=True)
            for line in _lines(row, verdict)
        ]
        if temporary is not None:
            write_rows(temporary, judged_rows, JUDGED_ROWS, suffix=out.suffix if out else "")
    agreement = None if against is None else _agreement(judged_rows)
    return Judged(judged_rows, _tallies(verdicts), seconds, read, agreement, out, replaced)


def _verdicts(
    rows: Sequence[AnsweredRow], config: VerifierConfig, progress: Progress
) -> list[Verdicts]:
    """Judge the rows, grouped by verifier."""
    by_kind: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        by_kind.setdefault(row.kind, []).append(index)
    by_index: dict[int, Verdicts] = {}
    with progress.late("verdicts", len(rows)) as advance:
        for kind, indices in by_kind.items():
            answered = [rows[index].answered for index in indices]
            verdicts = judged(answered, config.model_copy(update={"kind": kind}), advance)
            by_index.update(zip(indices, verdicts, strict=True))
    return [by_index[index] for index in range(len(rows))]


def _lines(row: AnsweredRow, verdicts: Verdicts) -> list[dict[str, Any]]:
    """Return the output rows, one per completion."""
    golds = row.answered.golds
    location = {"file": row.file, "row": row.row}
    gold = gold_text(golds) if golds else row.written_gold
    about = {"gold": gold, "verifier": verdicts.verifier}
    lines = []
    pairs = zip(verdicts.rows, row.theirs, row.answered.completions, strict=True)
    for sample, (verdict, theirs, completion) in enumerate(pairs):
        judged = verdict["reward"] is not None
        differs = (
            (verdict["verdict"] == "correct") != theirs if judged and theirs is not None else None
        )
        shown = differs or verdict["verdict"] == "unparsed_answer"
        ours = {"theirs": theirs, "differs": differs}
        ours["end_of_completion"] = completion[-_END:] if shown else None
        lines.append({**location, "sample": sample, **about, **verdict, **ours})
    return lines


def _tallies(verdicts: Sequence[Verdicts]) -> list[Tally]:
    """Count by verifier, most problems first."""
    problems: Counter[str | None] = Counter()
    counts: dict[str | None, Counter[str]] = {}
    for group in verdicts:
        problems[group.verifier] += 1
        counts.setdefault(group.verifier, Counter()).update(row["verdict"] for row in group.rows)
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
    """Return the rows whose verdicts differ."""
    return [row for row in done.rows if row["differs"]]


def summary(done: Judged) -> dict[str, Any]:
    """Return a summary of the verdicts, as a tree for JSON."""
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
