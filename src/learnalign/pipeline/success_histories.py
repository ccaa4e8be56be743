"""Success rates of an earlier training, for the methods that choose by history."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.problems.sources import read_source
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.storage import files
from learnalign.training.history import success_history


def read_history(path: Path, problem_ids: Sequence[str]) -> NDArray[np.float64]:
    """Read the success rates of a training.

    Args:
        path: Folder of a training (``learnalign train``), or a JSONL or Parquet file with the
            columns ``problem_id`` and ``success_rates`` (lists of numbers from 0 to 1, in order).
        problem_ids: The n problems.

    Returns:
        (n, e) success rates: column j is the problem's rate when the training used it for the j-th
        time; NaN where it did not.

    Raises:
        LearnAlignError: if there is no history, or none of the problems is in it.
    """
    rates = _of_training(path) if files.is_file(path / "manifest.json") else _of_file(path)
    known = [rates.get(name, []) for name in problem_ids]
    width = max(map(len, known), default=0)
    if width == 0:
        raise LearnAlignError(
            f"{path} has no success rate of any problem of the pool",
            expected="a training on these problems, or rows with their problem_id",
            do="check --history",
        )
    return np.array([row + [np.nan] * (width - len(row)) for row in known])


def _of_training(path: Path) -> dict[str, list[float]]:
    folder = RunFolder(path, TRAINING_TABLES)
    if not folder.num_shards("history"):
        raise LearnAlignError(
            f"{path} has no history of a training",
            expected="the folder of a finished `learnalign train`",
            do="check --history",
        )
    rates: dict[str, list[float]] = {}
    for row in success_history(folder.table("history")).to_pylist():
        rates.setdefault(row["problem_id"], []).append(row["success_rate"])
    return rates


def _of_file(path: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for number, row in enumerate(read_source(str(path)).rows, 1):
        rates = row.get("success_rates")
        usable = isinstance(rates, list) and all(
            rate is None or (isinstance(rate, int | float) and 0.0 <= rate <= 1.0) for rate in rates
        )
        if not usable or "problem_id" not in row:
            raise LearnAlignError(
                f"row {number} of {path} has no problem_id or no success_rates from 0 to 1",
                expected='rows such as {"problem_id": "a", "success_rates": [0.125, 0.5]}',
                do="correct the file",
            )
        found[str(row["problem_id"])] = [np.nan if r is None else float(r) for r in rates or []]
    return found
