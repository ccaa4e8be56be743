"""Read files of rollouts into records, in any of the formats."""

import json
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from learnalign.errors import LearnAlignError
from learnalign.problems.sources import NoRowsError, read_source
from learnalign.rollouts.imports.files import rollout_files, without_copies
from learnalign.rollouts.imports.format import Format, PlainRow
from learnalign.rollouts.imports.peeking import may_have_rollouts
from learnalign.rollouts.imports.record import Record
from learnalign.rollouts.imports.registry import FORMATS, format_named, format_of, require_format
from learnalign.rollouts.imports.repeats import without_repeats
from learnalign.rollouts.imports.rows import records_of
from learnalign.rollouts.imports.scale import scaled
from learnalign.rollouts.imports.unicode import repaired
from learnalign.storage import files as storage
from learnalign.terminal.progress import Advance, Progress


def read_records(
    paths: Iterable[Path],
    *,
    format_name: str | None = None,
    reward_column: str | Literal[False] | None = None,
    scale: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> tuple[list[list[Record]], Counter[str]]:
    """Read files of rollouts, or folders of such files.

    Args:
        paths: Files that `read_source` can read, or folders of them; URLs too.
        format_name: The rows' format (`registry.FORMATS`); recognised row by row if None.
        reward_column: Name of the reward column if it is not one of the usual ones; dots reach into
            objects. False leaves the rewards out.
        scale: The lowest and the highest reward, which become 0 and 1. None expects 0 and 1, and
            leaves a format with another scale of its own to that format.
        progress: Shows the reading if it takes longer than two seconds.

    Returns:
        The records of each file, and counts for warnings (`told`): ``empty`` (completions),
        ``failed`` (attempts without a result), ``multi_turn`` (left out) or ``only_rewards``
        (multi-turn, where there is nothing else), ``unrewarded`` (beside others with a reward),
        those of `repeats`, files that were left out, and rewards that were corrected.

    Raises:
        LearnAlignError: if a file is missing, broken or a pickle, a row has no completion, or a
            value is invalid or a reward outside of the scale; names the file and row.
    """
    wanted = None if format_name is None else format_named(format_name)
    counts: Counter[str] = Counter()
    files: list[Path] = []
    of_folders: set[Path] = set()
    for path in paths:
        found, left_out = rollout_files(path)
        files += found
        of_folders |= set(found) - {path}
        counts.update(left_out)
    kept = without_copies(files)
    counts["repeated_files"] += len(files) - len(kept)
    records = _read(kept, of_folders, wanted, reward_column, counts, progress or Progress("none"))
    records, repeats = without_repeats(records)
    counts += repeats
    records = _single_turn(records, counts)
    if not any(records):
        raise LearnAlignError(
            f"{', '.join(map(str, files))}: no usable completion; {counts['empty']} are "
            f"empty or null, {counts['failed']} failed, {counts['multi_turn']} are multi-turn",
            expected="single responses to the prompts, or rewards of multi-turn rollouts",
            do="correct the path",
        )
    missing = [record.reward is None for file in records for record in file]
    counts["unrewarded"] += sum(missing) if not all(missing) else 0
    if scale is None:
        records = _corrected(records, counts)
    return scaled(records, scale), counts


def _read(
    files: Sequence[Path],
    of_folders: Container[Path],
    wanted: Format | None,
    reward_column: str | Literal[False] | None,
    counts: Counter[str],
    progress: Progress,
) -> list[list[Record]]:
    """Read each file; of a folder, one without rollouts gives none and is counted.

    Raises:
        LearnAlignError: the first file's, if none has rollouts.
    """
    sizes = [(storage.size(file) or 0) / 2**20 for file in files]  # MiB
    records: list[list[Record]] = []
    others: list[LearnAlignError] = []
    begin = 0.0
    with progress.late("recorded", max(1, round(sum(sizes))), "MiB") as advance:
        for file, size in zip(files, sizes, strict=True):
            part = _Part(advance, begin, size)
            begin += size
            try:
                records.append(_file(file, wanted, reward_column, counts, part))
            except LearnAlignError as error:
                if file not in of_folders or may_have_rollouts(file):
                    raise
                others.append(error)  # metrics, settings, ... of whoever wrote them
                records.append([])
    if others and len(others) == len(files):
        raise others[0]
    counts["other_files"] += len(others)
    return records


class _Part:
    """The progress of one file: from ``begin`` MiB on, in proportion to its rows."""

    def __init__(self, advance: Advance, begin: float, size: float) -> None:
        self.advance, self.begin, self.size, self.done = advance, begin, size, round(begin)

    def reached(self, share: float) -> None:
        """Show that a share of the file has been read."""
        now = round(self.begin + share * self.size)
        self.advance(now - self.done)
        self.done = now


def _file(
    path: Path,
    wanted: Format | None,
    reward_column: str | Literal[False] | None,
    counts: Counter[str],
    part: _Part,
) -> list[Record]:
    try:
        rows = _rows(path)
    except NoRowsError:
        counts["blank_files"] += 1
        return []
    unit = _unit(path, len(rows))
    records: list[Record] = []
    facts: dict[str, PlainRow] = {}
    for number, read in enumerate(rows, 1):
        row = repaired(read)
        counts["replaced"] += row is not read
        location = f"{path}, {unit} {number}"
        found = format_of(row) if wanted is None else require_format(wanted, row, location)
        whole, before = _digest(read), len(records)
        is_named = any(row.get(name) is not None for name in found.rollout_ids)
        if found.name not in facts:
            facts[found.name] = found.of_file(path, rows)
        for plain in _plain(found, row, location):
            given = {name: content for name, content in plain.items() if content is not None}
            full = plain | facts[found.name] | given
            for parsed in records_of(full, row, location, path, found.name, reward_column):
                if isinstance(parsed, Record):
                    digest = whole + (len(records) - before).to_bytes(4)
                    records.append(replace(parsed, digest=digest, is_named=is_named))
                else:
                    counts[parsed] += 1
        part.reached(number / len(rows))
    return records


def _digest(row: dict[str, Any]) -> bytes:
    text = json.dumps(row, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=16).digest()


def _plain(found: Format, row: dict[str, Any], location: str) -> list[PlainRow]:
    try:
        return found.plain(row)
    except LearnAlignError as error:
        raise LearnAlignError(
            f"{location}: {error.got}", expected=error.expected, do=error.do
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LearnAlignError(
            f"{location}: the columns {', '.join(row)} are those of {found.name}, but the "
            f"values do not match its format ({type(error).__name__}: {error})",
            do="correct the row, or write one completion per row (docs/concepts/rollouts.md)",
        ) from error


def _rows(path: Path) -> list[dict[str, Any]]:
    """Read a file's rows; a JSON file may be a single row, with lists in it."""
    if path.suffix == ".json" and storage.is_file(path):
        try:
            tree = json.loads(storage.read_bytes(path))
        except (ValueError, RecursionError):
            tree = None  # read_source says what is broken
        if isinstance(tree, dict) and format_of(tree).is_whole_file:
            return [tree]
    return read_source(str(path)).rows


def _unit(path: Path, count: int) -> str:
    """Return what messages call a row of the file: ``line`` if each row is one, else ``row``."""
    if path.suffix not in {".jsonl", ".ndjson"}:
        return "row"
    with path.open("rb") as file:
        return "line" if sum(1 for _ in file) == count else "row"


def _single_turn(files: list[list[Record]], counts: Counter[str]) -> list[list[Record]]:
    """Leave multi-turn rollouts out; if there are no others, keep those with a reward."""
    several = sum(record.is_multi_turn for file in files for record in file)
    if not several:
        return files
    alone = all(record.is_multi_turn for file in files for record in file)
    kept = [
        [r for r in file if not r.is_multi_turn or (alone and r.reward is not None)]
        for file in files
    ]
    counts["only_rewards"] += sum(map(len, kept)) if alone else 0
    counts["multi_turn"] += several - counts["only_rewards"]
    return kept


def _corrected(files: list[list[Record]], counts: Counter[str]) -> list[list[Record]]:
    """Correct what needs all rollouts of a format, such as the scale of its rewards."""
    for name, found in FORMATS.items():
        fixed, changes = found.corrected([r for file in files for r in file if r.format == name])
        counts.update(changes)
        remaining = iter(fixed)
        files = [[next(remaining) if r.format == name else r for r in file] for file in files]
    return files
