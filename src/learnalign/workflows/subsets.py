"""The problems of a run that a training or an export takes: ``--subset``."""

from typing import Any

import pyarrow.compute as pc

from learnalign.errors import LearnAlignError
from learnalign.formats.export import sample_control
from learnalign.problems.subsets import read_subset
from learnalign.runs.folder import RunFolder
from learnalign.storage import files
from learnalign.storage.paths import as_path
from learnalign.terminal.commands import command_line


def chosen_ids(source: RunFolder, subset: str, *, seed: int) -> list[str]:
    """Return the ids of a subset of a run, best first.

    Args:
        source: The run.
        subset: ``selected``; ``random``, as many as selected, sampled like an export's control;
            ``all``; or a file of ids, whose order stays.
        seed: Random seed.

    Raises:
        LearnAlignError: for an unknown subset, an unknown id, or a run that selected nothing.
    """
    scores = source.scores()
    names: list[str] = scores["problem_id"].to_pylist()
    selected: list[str] = scores.filter(pc.fill_null(scores["selected"], False))[
        "problem_id"
    ].to_pylist()
    if subset == "all":
        return names
    if subset in ("selected", "random"):
        if not selected:
            raise LearnAlignError(
                f"{source.path} has no selected problems",
                expected="a selection",
                do=f"run `{command_line('score', source.path, '--budget', 'K')}`, "
                "or give --subset all",
            )
        return selected if subset == "selected" else sample_control(scores, len(selected), seed)
    path = as_path(subset)
    if not files.is_file(path):
        raise LearnAlignError(
            f"got --subset {subset}",
            expected="selected, random, all or a file of ids",
            do="correct it",
        )
    listed = read_subset(path).problem_ids
    unknown = sorted(set(listed) - set(names))
    if unknown or not listed:
        raise LearnAlignError(
            f"{path} lists {len(unknown)} problems that are not in {source.path}, "
            f"such as '{unknown[0]}'"
            if unknown
            else f"{path} lists no problems",
            expected="ids of that run, one per line",
            do="correct the file",
        )
    return listed


def made_of(subset: str) -> dict[str, Any]:
    """Return what a manifest says of a subset: nothing, unless a person made it."""
    path = as_path(subset)
    return read_subset(path).described() if files.is_file(path) else {}
