"""Verdicts of a shard: which verifier judges which problem, over a few worker processes."""

import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pyarrow as pa

from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError, nearest
from learnalign.tables import VERDICTS
from learnalign.verifying.function import load_function
from learnalign.verifying.gym import is_gym_row
from learnalign.verifying.processes import WorkerProcess

#: The verifiers that have a name; a function of the user's own is the other kind.
KINDS = ("auto", "math", "text", "choice", "number", "reasoning_gym")


class Verifier:
    """Judges rollouts with a set of worker processes; made by `open_verifier`."""

    def __init__(self, config: VerifierConfig) -> None:
        self.kind = config.kind
        count = config.workers or os.cpu_count() or 1
        self.processes = [WorkerProcess(config.timeout_s) for _ in range(count)]
        self.free: SimpleQueue[WorkerProcess] = SimpleQueue()
        for process in self.processes:
            self.free.put(process)

    def verify(
        self,
        problems: pa.Table,
        rollouts: pa.Table,
        progress: Callable[[int], None] | None = None,
    ) -> pa.Table:
        """Judge each rollout.

        Args:
            problems: PROBLEMS table.
            rollouts: ROLLOUTS table of some of these problems, each problem's in one run.
            progress: Called with 1 after each problem.

        Returns:
            VERDICTS table, row for row that of ``rollouts``.
        """
        known = {row["problem_id"]: row for row in problems.drop(["prompt_ids"]).to_pylist()}
        groups: dict[str, list[dict[str, Any]]] = {}
        for rollout in rollouts.drop(["logprobs"]).to_pylist():
            groups.setdefault(rollout["problem_id"], []).append(rollout)

        def judge(problem_id: str) -> list[dict[str, Any]]:
            return self._group(known[problem_id], groups[problem_id])

        found: dict[tuple[str, int], dict[str, Any]] = {}
        with ThreadPoolExecutor(len(self.processes)) as threads:
            for rows in threads.map(judge, groups):
                found.update({(row["problem_id"], row["sample"]): row for row in rows})
                if progress is not None:
                    progress(1)
        keys = zip(rollouts["problem_id"].to_pylist(), rollouts["sample"].to_pylist(), strict=True)
        return pa.Table.from_pylist([found[key] for key in keys], schema=VERDICTS)

    def _group(
        self, problem: dict[str, Any], rollouts: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Judge one problem's rollouts; under auto, recorded rewards stand as they are."""
        rows: list[dict[str, Any]] = []
        left = []
        for rollout in rollouts:
            reward = rollout["recorded_reward"]
            if self.kind == "auto" and reward is not None and not math.isfinite(reward):
                detail = f"the recorded reward is {reward}"
                rows.append(_row(rollout) | {"verdict": "error", "detail": detail})
            elif self.kind == "auto" and reward is not None:
                verdict = "correct" if reward > 0.5 else "wrong"
                rows.append(_row(rollout) | {"verdict": verdict, "reward": reward})
            else:
                left.append(rollout)
        if not left:
            return rows
        row = json.loads(problem["row"])
        kind = self.kind
        if kind == "auto":
            kind = "reasoning_gym" if is_gym_row(row) else "math"
        request = {
            "kind": kind,
            "gold": problem["answer"],
            "row": row,
            "prompt": problem["prompt"],
            "messages": problem["messages"],
            "completions": [rollout["completion"] for rollout in left],
            "completion_ids": [rollout["token_ids"] for rollout in left],
        }
        process = self.free.get()
        try:
            judgements = process.judge(request)
        finally:
            self.free.put(process)
        for rollout, judgement in zip(left, judgements, strict=True):
            rows.append(_row(rollout) | vars(judgement))
        return rows


@contextmanager
def open_verifier(config: VerifierConfig) -> Iterator[Verifier]:
    """Give a verifier, and end its processes afterwards.

    Raises:
        LearnAlignError: for an unknown kind, or a function that cannot be imported.

    Example:
        >>> with open_verifier(VerifierConfig(kind="mth")) as verifier:
        ...     pass
        Traceback (most recent call last):
        learnalign.errors.LearnAlignError: got the verifier 'mth'
          expected: auto, math, text, choice, number, reasoning_gym or module:function: the nearest is 'math'
          to do: correct --verifier
    """  # noqa: E501
    if ":" in config.kind:
        load_function(config.kind)
    elif config.kind not in KINDS:
        raise LearnAlignError(
            f"got the verifier '{config.kind}'",
            expected=f"{', '.join(KINDS)} or module:function: {nearest(config.kind, KINDS)}",
            do="correct --verifier",
        )
    verifier = Verifier(config)
    try:
        yield verifier
    finally:
        for process in verifier.processes:
            process.close()


def _row(rollout: dict[str, Any]) -> dict[str, Any]:
    return {"problem_id": rollout["problem_id"], "sample": rollout["sample"]}
