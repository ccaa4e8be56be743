"""Success rates of an earlier training, for the methods that choose by history and curricula."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.problems.columns import COMPLETIONS
from learnalign.problems.sources import read_source
from learnalign.rollouts.imports.formats import plain
from learnalign.rollouts.imports.joining import Join
from learnalign.rollouts.imports.reading import read_records
from learnalign.rollouts.imports.record import Record
from learnalign.rollouts.imports.registry import format_of
from learnalign.rollouts.imports.told import warnings
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.storage import files
from learnalign.terminal.progress import Progress
from learnalign.training.history import success_history


class Outcome(NamedTuple):
    """What came of a problem's group in one step of a training."""

    step: int
    success_rate: float
    num_rollouts: int
    """0 if only the rate is known."""


@dataclass(frozen=True)
class SuccessHistory:
    """The success rates of a training, problem by problem."""

    path: Path
    outcomes: Mapping[str, list[Outcome]]
    """By problem_id, in the order of the steps."""
    warnings: tuple[str, ...] = ()
    """What was left out of imported rollouts, or may not fit."""

    def rates(self, problem_ids: Sequence[str]) -> NDArray[np.float64]:
        """Return (n, e) success rates of n problems.

        Column j is the problem's rate when the training used it for the j-th time; NaN where it did
        not.

        Raises:
            LearnAlignError: if none of the problems is in it.
        """
        known = [[one.success_rate for one in self.outcomes.get(n, [])] for n in problem_ids]
        width = max(map(len, known), default=0)
        if width == 0:
            raise LearnAlignError(
                f"{self.path} has no success rate of any problem of the pool",
                expected="a training on these problems, or rows with their problem_id",
                do="check --history",
            )
        return np.array([row + [np.nan] * (width - len(row)) for row in known])

    def steps(self, problem_ids: Sequence[str]) -> Iterator[list[tuple[int, Outcome]]]:
        """Yield what came of each step, the oldest first: indices of problems, and outcomes."""
        places = {name: index for index, name in enumerate(problem_ids)}
        by_step: dict[int, list[tuple[int, Outcome]]] = {}
        for name, outcomes in self.outcomes.items():
            for one in outcomes if name in places else ():
                by_step.setdefault(one.step, []).append((places[name], one))
        yield from (sorted(by_step[step]) for step in sorted(by_step))


def read_history(
    path: Path,
    join: Callable[[], Join] | None = None,
    *,
    reward_column: str | Literal[False] | None = None,
    scale: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> SuccessHistory:
    """Read the success rates of a training.

    Args:
        path: Folder of a training (``learnalign train``); or a JSONL or Parquet file with the
            columns ``problem_id`` and ``success_rates`` (lists of numbers from 0 to 1, in order);
            or the rollouts of any trainer, whose steps are the times.
        join: Makes what finds the problem of a rollout; needed for other trainers' rollouts.
        reward_column: Column of their reward, if it is not found by name.
        scale: Their lowest and highest reward, if not 0 and 1.
        progress: Shows the reading of rollouts if it takes longer than two seconds.

    Raises:
        LearnAlignError: if there is no history.
    """
    if files.is_file(path / "manifest.json"):
        return SuccessHistory(path, _of_training(path))
    if join is not None and _is_rollouts(path):
        records, counts = read_records(
            [path], reward_column=reward_column, scale=scale, progress=progress
        )
        return _of_rollouts(path, join(), records, counts)
    return SuccessHistory(path, _of_file(path))


def _of_training(path: Path) -> dict[str, list[Outcome]]:
    folder = RunFolder(path, TRAINING_TABLES)
    if not folder.num_shards("history"):
        raise LearnAlignError(
            f"{path} has no history of a training",
            expected="the folder of a finished `learnalign train`",
            do="check --history",
        )
    found: dict[str, list[Outcome]] = {}
    for row in success_history(folder.table("history")).to_pylist():
        outcome = Outcome(row["step"], row["success_rate"], row["num_rollouts"])
        found.setdefault(row["problem_id"], []).append(outcome)
    return found


def _is_rollouts(path: Path) -> bool:
    """Whether a path has rollouts or counts of them, rather than lists of success rates."""
    if path.is_dir():
        return True
    row = read_source(str(path), limit=1).rows[0]
    return "success_rates" not in row and (
        format_of(row) is not plain.FORMAT or any(n in row for n in (*COMPLETIONS, "token_ids"))
    )


def _of_rollouts(
    path: Path, join: Join, records: list[list[Record]], read: Counter[str]
) -> SuccessHistory:
    """Average the rewards of each problem in each step; rollouts without a reward are ignored."""
    groups, counts = join.all_groups(records)
    found: dict[str, list[Outcome]] = {}
    for name, group in groups.items():
        by_step: dict[int, list[float]] = {}
        for record in group:
            if record.reward is not None and np.isfinite(record.reward):
                by_step.setdefault(record.step, []).append(record.reward)
        found[name] = [
            Outcome(step, sum(rewards) / len(rewards), len(rewards))
            for step, rewards in sorted(by_step.items())
        ]
    if not any(one.step >= 0 for outcomes in found.values() for one in outcomes):
        raise LearnAlignError(
            f"{path} has no step of a training with rewards",
            expected="rollouts of several steps, each with its reward: a history is what changed",
            do="add a column step, name the files or folders step_N, or use the rollouts "
            "themselves: --recorded",
        )
    told = {f"recorded_{kind}": count for kind, count in (read + counts).items()}
    told["recorded"] = told.pop("recorded_recorded")
    return SuccessHistory(path, found, tuple(f"--history: {text}" for text in warnings(told)))


def _of_file(path: Path) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for number, row in enumerate(read_source(str(path)).rows, 1):
        rates = row.get("success_rates")
        wrong = _wrong_rates(rates) if "problem_id" in row else "no problem_id"
        if wrong is not None:
            raise LearnAlignError(
                f"row {number} of {path} has {wrong}",
                expected='rows such as {"problem_id": "a", "success_rates": [0.125, 0.5]}, with '
                "numbers from 0 to 1, or the rollouts of a training",
                do="correct the file",
            )
        if str(row["problem_id"]) in found:
            raise LearnAlignError(
                f"row {number} of {path} has the problem '{row['problem_id']}' a second time",
                expected="one row for each problem",
                do="correct the file",
            )
        found[str(row["problem_id"])] = [
            Outcome(step, np.nan if rate is None else float(rate), 0)
            for step, rate in enumerate(rates or [])
        ]
    return found


def _wrong_rates(rates: Any) -> str | None:
    """Say what is wrong with a list of success rates; None if nothing is."""
    if not isinstance(rates, list):
        return "no list success_rates"
    for rate in rates:
        if rate is not None and not (isinstance(rate, int | float) and 0.0 <= rate <= 1.0):
            return f"the success rate {rate!r}"
    return None
