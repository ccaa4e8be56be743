"""Rollouts that a dump has twice: copies are left out, and what may be one is counted."""

from collections import Counter
from collections.abc import Iterable, Mapping

from learnalign.errors import LearnAlignError
from learnalign.rollouts.imports.record import Record
from learnalign.rollouts.imports.registry import FORMATS

#: Characters from which on equal texts are hardly sampled twice; "The answer is 4." often is.
_LONG = 200
#: Different rows from which on a block of rows is hardly written twice by chance.
_KINDS = 4


def without_repeats(files: list[list[Record]]) -> tuple[list[list[Record]], Counter[str]]:
    """Leave out what is certainly a copy.

    That is a step that another file has row by row; a file's rows that are a block several times
    over; and an equal row that names its rollout. Other equal rows may be two short answers.

    Returns:
        The records; and counts of them: ``repeated_rows`` (left out) and ``equal_rows`` (long
        texts that are used though another row is equal).
    """
    counts: Counter[str] = Counter()
    blocks: set[bytes] = set()
    rollouts: set[bytes] = set()
    seen: set[bytes] = set()
    kept: list[list[Record]] = []
    for file in files:
        new: list[Record] = []
        for part in _by_step(_once(file)):
            digests = [record.digest for record in part]
            block = b"".join(digests)
            if _is_block(digests) and block in blocks:
                continue
            blocks.add(block)
            for record in part:
                if record.is_named and record.digest in rollouts:
                    continue
                is_long = len(record.completion or "") >= _LONG
                counts["equal_rows"] += is_long and record.digest in seen
                new.append(record)
                (rollouts if record.is_named else seen).add(record.digest)
        counts["repeated_rows"] += len(file) - len(new)
        kept.append(new)
    return kept, counts


def _by_step(records: list[Record]) -> Iterable[list[Record]]:
    steps: dict[int, list[Record]] = {}
    for record in records:
        steps.setdefault(record.step, []).append(record)
    return steps.values()


def _is_block(digests: list[bytes]) -> bool:
    """Whether rows are so many kinds that they do not come twice in this order by chance."""
    return len(set(digests)) >= _KINDS


def _once(records: list[Record]) -> list[Record]:
    """Return a file's rows without repetitions of the whole block that it begins with."""
    digests = [record.digest for record in records]
    count = len(digests)
    starts = (i for i in range(_KINDS, count // 2 + 1) if count % i == 0)
    for size in starts:
        if digests[size] == digests[0] and digests[size:] == digests[:-size]:
            return records[:size] if _is_block(digests[:size]) else records
    return records


def one_count(groups: Mapping[str, list[Record]]) -> tuple[dict[str, list[Record]], int]:
    """Keep one count of each problem and step; equal ones are copies.

    Returns:
        The groups, and how many rollouts were counted a second time.

    Raises:
        LearnAlignError: if two counts of a problem differ; names both rows.
    """
    kept: dict[str, list[Record]] = {}
    repeated = 0
    for name, group in groups.items():
        first: dict[int, list[Record]] = {}
        kept[name] = [record for record in group if not _is_count(record)]
        for row in _by_location(record for record in group if _is_count(record)):
            known = first.setdefault(row[0].step, row)
            if known is row:
                kept[name] += row
            elif _rewards(known) == _rewards(row):
                repeated += len(row)
            else:
                raise _differ(name, known, row)
    return kept, repeated


def num_resumed(groups: Mapping[str, list[Record]]) -> int:
    """Count rollouts of a problem and step that begin a second file, where a step is one file."""
    count = 0
    for group in groups.values():
        files: dict[int, str] = {}
        for record in group:
            if FORMATS[record.format].is_step_a_file:
                file = record.location.rpartition(", ")[0]
                count += files.setdefault(record.step, file) != file
    return count


def _is_count(record: Record) -> bool:
    return FORMATS[record.format].tokens == "counts"


def _by_location(records: Iterable[Record]) -> Iterable[list[Record]]:
    rows: dict[str, list[Record]] = {}
    for record in records:
        rows.setdefault(record.location, []).append(record)
    return rows.values()


def _rewards(row: list[Record]) -> Counter[float | None]:
    return Counter(record.reward for record in row)


def _differ(name: str, one: list[Record], other: list[Record]) -> LearnAlignError:
    first, second = (f"{sum(r.reward or 0.0 for r in row):g} of {len(row)}" for row in (one, other))
    return LearnAlignError(
        f"{one[0].location} and {other[0].location} both count the problem '{name}': {first} and "
        f"{second}",
        expected="one count of each problem, or one of each step",
        do="leave one out, add them up if they are of the same policy, or add a column step",
    )
