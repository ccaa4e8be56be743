"""Exporting a selection as files for trainers, with a random control of equal size."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.errors import LearnAlignError, nearest
from learnalign.formats.jsonl import jsonl_lines
from learnalign.formats.parquet import explained, parquet_table, verl_table
from learnalign.formats.rows import (
    AddInstructions,
    Block,
    Notes,
    Sources,
    blocks,
    gather,
    with_scored_messages,
)
from learnalign.formats.trainer_lines import trainer_lines
from learnalign.formats.trainers.registry import TRAINERS
from learnalign.storage import files

FORMATS = ("trl", "verl", *TRAINERS, "jsonl", "parquet", "ids")

Order = Literal["score", "pool"]

_SUFFIXES = {
    "trl": "jsonl",
    "verl": "parquet",
    "jsonl": "jsonl",
    "parquet": "parquet",
} | dict.fromkeys(TRAINERS, "jsonl")

#: Marks an export's manifest, as opposed to a run's.
_KIND = "learnalign export"

#: Flags whose effect chat messages cannot express, so `--prompts scored` cannot export it.
UNSENT = frozenset({"--template", "--assistant-prefix"})

_HINTS = {
    "trl": "GRPOConfig(shuffle_dataset=False) keeps the order of the file (TRL shuffles)",
    "verl": "data.shuffle=False keeps the order of the file (verl shuffles)",
    **{name: f"{one.trainer} reads it with {one.read_with}" for name, one in TRAINERS.items()},
}


@dataclass(frozen=True)
class Exported:
    """The written files, with warnings and hints for the user."""

    paths: list[Path]
    warnings: list[str]
    hints: list[str]


def export(
    out: Path,
    kind: str,
    *,
    problems: Callable[[], Iterable[pa.Table]],
    scores: pa.Table,
    sources: Sources,
    about: dict[str, Any],
    subset: Sequence[str] | None = None,
    order: Order = "score",
    control: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
    scored_with: Sequence[str] = (),
    add_instructions: AddInstructions | None = None,
    overwrite_gold: bool = True,
) -> Exported:
    r"""Write the rows of the selected problems, with our columns, in a trainer's format.

    Args:
        out: Output folder for ``selected.*``, ``control.*`` and ``manifest.json``.
        kind: One of ``FORMATS``.
        problems: Returns the shards of PROBLEMS, from the start at every call.
        scores: SCORES.
        sources: Returns the user's table of a source (by source_index) if its types must be kept;
            None if the JSON in PROBLEMS.row is enough.
        about: Model, sampling, verifier and so on, copied to the manifest.
        subset: Problems to export in place of the selected ones, best first.
        order: "score" puts rank 1 (or the first of ``subset``) first, "pool" keeps the order of the
            data.
        control: Also write the random control.
        seed: Seed of the control's random sample.
        batch_size: Prompts per training step, to check that no row is dropped.
        scored_with: Flags that changed the scored prompts (``--system``), for a warning: by default
            the exported messages are those of the data.
        add_instructions: Turns a problem's messages into the scored ones, which are then exported
            as the prompt of a trainer's rows. None keeps the data's prompt.
        overwrite_gold: In a trainer's format, set its gold to the one used for the selection;
            False keeps the data's values, for a reward function that reads them.

    Returns:
        The paths, warnings and hints.

    Raises:
        LearnAlignError: for an unknown kind or order, ``add_instructions`` for a format without
            prompts, an empty selection, a folder that is not an export's, or rows that do not fit
            the format.

    Example:
        >>> import tempfile
        >>> from learnalign.tables import PROBLEMS, SCORES
        >>> pool = pa.Table.from_pylist([{"problem_id": n} for n in "ab"], schema=PROBLEMS)
        >>> ranks = [{"problem_id": "b", "rank": 1, "selected": True}, {"problem_id": "a"}]
        >>> ranked = pa.Table.from_pylist(ranks, schema=SCORES)
        >>> out = Path(tempfile.mkdtemp())
        >>> done = export(out, "ids", problems=lambda: [pool], scores=ranked,
        ...     sources=lambda index: None, about={"model": "smollm2"})
        >>> [path.name for path in done.paths], (out / "selected.txt").read_text()
        (['selected.txt', 'control.txt', 'manifest.json'], 'b\n')
    """
    _check(out, kind, order, batch_size)
    if add_instructions is not None and kind not in _HINTS:
        raise LearnAlignError(
            f"got --prompts scored with --as {kind}, which exports your rows unchanged",
            expected="a trainer's format, such as trl or verl, in which rows have prompts",
            do="use --as trl or another trainer, or omit --prompts",
        )
    notes = Notes()
    lists = {"selected": _selected(scores, order) if subset is None else list(subset)}
    if subset is not None and order == "pool":
        lists["selected"] = _in_pool_order(scores, lists["selected"])
    if control:
        lists["control"] = sample_control(scores, len(lists["selected"]), seed, order)
    _note_sizes(lists, scores.num_rows, batch_size, notes, budgeted=subset is None)
    pool = gather(problems(), [name for names in lists.values() for name in names])
    if add_instructions is not None:
        pool = with_scored_messages(pool, add_instructions)
    paths = []
    for stem, names in lists.items():
        path = out / f"{stem}.{_SUFFIXES.get(kind, 'txt')}"
        parts: list[Block] = []
        if kind != "ids":
            parts = blocks(pool, scores, names, sources, overwrite_gold=overwrite_gold)
        _write(path, kind, names, parts, notes)
        paths.append(path)
    if kind in _HINTS:
        notes.hint(_HINTS[kind])
        if scored_with and add_instructions is None:
            _warn_of_other_prompts(kind, scored_with, notes)
    facts = {"about": about, "format": kind, "order": order, "seed": seed, "batch_size": batch_size}
    facts["prompts"] = "own" if add_instructions is None else "scored"
    counts = {"pool": scores.num_rows, **{stem: len(names) for stem, names in lists.items()}}
    written = dict(zip(paths, lists.values(), strict=True))
    manifest = _write_manifest(out, {"kind": _KIND, **facts, "counts": counts}, written, notes)
    return Exported([*paths, manifest], notes.warnings, notes.hints)


def _warn_of_other_prompts(kind: str, scored_with: Sequence[str], notes: Notes) -> None:
    """Warn that the exported prompts are not those that were scored, and say what to do."""
    remedy = "use --prompts scored"
    if kind in TRAINERS and TRAINERS[kind].text_prompt and "--system" in scored_with:
        remedy = f"a system prompt belongs into {TRAINERS[kind].system_prompt}"
    elif UNSENT & set(scored_with):
        remedy = "build it in the trainer"
    notes.warn(
        f"the model was scored with {', '.join(scored_with)}, which is not part of "
        f"`prompt`: {remedy}, or you will train on other prompts than were scored"
    )


def ids_hash(problem_ids: Sequence[str]) -> str:
    r"""Hash a list of ids, in order: the SHA-256 of the text with one id per line.

    Example:
        >>> ids_hash(["a"]) == hashlib.sha256(b"a\n").hexdigest()
        True
    """
    return hashlib.sha256("".join(f"{name}\n" for name in problem_ids).encode()).hexdigest()


def _write_manifest(
    out: Path, facts: dict[str, Any], written: dict[Path, list[str]], notes: Notes
) -> Path:
    described = {
        path.name: {
            "rows": len(names),
            "bytes": files.size(path),
            "sha256": files.sha256(path),
            "problem_ids_sha256": ids_hash(names),
        }
        for path, names in written.items()
    }
    tree = {**facts, "files": described, "warnings": notes.warnings, "hints": notes.hints}
    path = out / "manifest.json"
    files.write_text(path, json.dumps(tree, indent=1, ensure_ascii=False, default=str) + "\n")
    return path


def _check(out: Path, kind: str, order: str, batch_size: int | None) -> None:
    for value, known, flag in ((kind, FORMATS, "--as"), (order, get_args(Order), "--order")):
        if value not in known:
            raise LearnAlignError(
                f"got {flag} {value}",
                expected=f"one of {', '.join(known)}: {nearest(value, known)}",
                do=f"correct {flag}",
            )
    if batch_size is not None and batch_size < 1:
        raise LearnAlignError(
            f"got a batch size of {batch_size}",
            expected="the number of prompts per training step",
            do="use --batch-size 1 or more, or omit it",
        )
    manifest = out / "manifest.json"
    if files.is_file(manifest) and f'"kind": "{_KIND}"' not in files.read_text(manifest):
        raise LearnAlignError(
            f"{manifest} already exists and does not belong to an export",
            expected="a new folder, or the folder of an earlier export",
            do="choose another folder with --out",
        )


def _selected(scores: pa.Table, order: Order) -> list[str]:
    chosen = scores.filter(pc.fill_null(scores["selected"], False))
    if not chosen.num_rows:
        raise LearnAlignError(
            "got a ranking with no selected problem",
            expected="at least one selected problem",
            do="set --budget (a number of problems, or a fraction such as 0.1)",
        )
    chosen = chosen.sort_by("rank" if order == "score" else "position")
    names: list[str] = chosen["problem_id"].to_pylist()
    return names


def sample_control(scores: pa.Table, count: int, seed: int, order: Order = "score") -> list[str]:
    """Sample ``count`` problems from the whole pool; the result depends only on ids and seed.

    Args:
        scores: SCORES.
        count: Number of problems.
        seed: Seed of the sample.
        order: "pool" keeps the order of the data, "score" the sampled order.
    """

    def random_key(name: str) -> bytes:
        # The prefix "control" makes the sample differ from that of the method `random`.
        return hashlib.sha256(f"control:{seed}:{name}".encode()).digest()

    sample = sorted(scores["problem_id"].to_pylist(), key=random_key)[:count]
    return sample if order == "score" else _in_pool_order(scores, sample)


def _in_pool_order(scores: pa.Table, names: list[str]) -> list[str]:
    columns = (scores[name].to_pylist() for name in ("problem_id", "position"))
    positions = dict(zip(*columns, strict=True))
    return sorted(names, key=positions.__getitem__)


def _note_sizes(
    lists: dict[str, list[str]], pool: int, batch_size: int | None, notes: Notes, *, budgeted: bool
) -> None:
    count = len(lists["selected"])
    lost = count % batch_size if batch_size else 0
    if batch_size and lost:
        near = [k for k in (count - lost, count - lost + batch_size) if 0 < k <= pool]
        sizes = " or ".join(map(str, near))
        better = f"a --budget of {sizes}" if budgeted else f"a subset of {sizes}"
        better = better if near else "a smaller batch"
        notes.warn(
            f"{count} problems are not a multiple of the batch size {batch_size}: TRL's "
            f"RepeatSampler and verl's train loader drop the last incomplete batch, "
            f"so {lost} of {count} rows would be lost each epoch; {better} avoids this"
        )
    if "control" in lists and count == pool:
        notes.warn("the whole pool is selected: the control contains the same problems")


def _write(
    path: Path,
    kind: str,
    names: list[str],
    parts: Sequence[Block],
    notes: Notes,
) -> None:
    if kind == "ids":
        invalid = [name for name in names if len(name.splitlines()) != 1]
        if invalid:
            raise LearnAlignError(
                f"the problem id {invalid[0]!r} is not one line",
                expected="ids of one line each",
                do="use another id column, or another format with --as",
            )
        _write_lines(path, names)
        return
    if kind in ("trl", "jsonl"):
        _write_lines(path, jsonl_lines(parts, notes, trl=kind == "trl"))
        return
    if kind in TRAINERS:
        _write_lines(path, trainer_lines(kind, parts, notes))
        return
    with explained(kind):
        table = verl_table(parts, notes) if kind == "verl" else parquet_table(parts, notes)
        files.write_table(path, table)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with files.atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)
