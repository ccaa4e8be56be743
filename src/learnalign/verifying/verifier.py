"""Verdicts of a shard, computed by several worker processes."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.gym import is_gym_row
from learnalign.tables import VERDICTS, golds
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.question import Question
from learnalign.verifying.routing import KINDS, route
from learnalign.verifying.workers import Workers, batches

#: Golds that a worker is handed at once: what a round trip costs is shared.
_BATCH = 64
#: A function that fails on so many problems, the first or the last of a training, is broken.
_PATIENCE = 8
#: A function that has no reward for any of so many problems is of no use to a training.
_SILENCE = 64

Rows = list[dict[str, Any]]


class Verifier:
    """Judges rollouts with a set of worker processes; created by `open_verifier`."""

    def __init__(self, config: VerifierConfig) -> None:
        self.kind, self.unfinished_thinking = config.kind, config.unfinished_thinking
        self.workers = Workers(
            config.workers or os.cpu_count() or 1, config.timeout_s, config.memory_mb
        )
        self._proved = ":" not in config.kind
        self._failed_in_a_row = self._silent = 0
        self._reason = ""

    def verify(
        self,
        problems: pa.Table,
        rollouts: pa.Table,
        progress: Callable[[int], None] | None = None,
        trainer_state: Mapping[str, Any] | None = None,
    ) -> pa.Table:
        """Judge each rollout.

        Args:
            problems: PROBLEMS table.
            rollouts: ROLLOUTS table of some of these problems, each problem's in one run.
            progress: Called with 1 after each problem.
            trainer_state: What a user's function sees of the training, e.g.
                ``global_step``.

        Returns:
            VERDICTS table, row for row that of ``rollouts``.

        Raises:
            LearnAlignError: if a function of the user's fails on all of the first problems, or can
                be imported no more, or no worker can be started.
        """
        known = {row["problem_id"]: row for row in problems.drop(["prompt_ids"]).to_pylist()}
        groups: dict[str, Rows] = {}
        for rollout in rollouts.drop(["logprobs"]).to_pylist():
            groups.setdefault(rollout["problem_id"], []).append(rollout)

        def judge(problem_id: str) -> tuple[Rows, list[Judgement]]:
            return self._group(known[problem_id], groups[problem_id], trainer_state)

        found: dict[tuple[str, int], dict[str, Any]] = {}
        for rows, judgements in self.workers.side_by_side(judge, groups):
            found.update({(row["problem_id"], row["sample"]): row for row in rows})
            self._note(judgements)
            if not self._proved and self._failed_in_a_row >= _PATIENCE:
                raise self._broken()
            if progress is not None:
                progress(1)
        keys = zip(rollouts["problem_id"].to_pylist(), rollouts["sample"].to_pylist(), strict=True)
        return pa.Table.from_pylist([found[key] for key in keys], schema=VERDICTS)

    def require_works(self, *, always: bool = False) -> None:
        """Raise if a user's function has failed on every problem so far.

        Args:
            always: In a training: stop as well where it worked once and has failed on the last few
                problems, or returned None for all of many.

        Raises:
            LearnAlignError: with what it failed by.
        """
        never = self._failed_in_a_row > 0 or (always and self._silent >= _SILENCE)
        if (never and not self._proved) or (always and self._failed_in_a_row >= _PATIENCE):
            raise self._broken()

    def check_golds(
        self, problems: Iterable[Mapping[str, Any]], progress: Callable[[int], None] | None = None
    ) -> list[tuple[str, str] | None]:
        """Check each gold: parse it, write it as an answer, and judge that answer.

        Args:
            problems: Each with ``answer``, ``prompt`` and ``row`` (JSON text), as in PROBLEMS.
            progress: Called with the number of problems just checked.

        Returns:
            For each problem None, or why it is unusable: ``unparsed_gold`` or ``rejected_gold``,
            with the verifier's detail. A user's function is never called.
        """

        def check(batch: list[Mapping[str, Any]]) -> list[tuple[str, str] | None]:
            kinds: dict[str, list[int]] = {}
            tasks = []
            for place, problem in enumerate(batch):
                row = json.loads(problem["row"])
                needed = row if is_gym_row(row) else {}
                task = {"golds": golds(problem["answer"]), "row": needed}
                task["prompt"] = problem["prompt"]
                kinds.setdefault(route(self.kind, Question.of(task)), []).append(place)
                tasks.append(task)
            found: list[tuple[str, str] | None] = [None] * len(batch)
            with self.workers.borrowed() as worker:
                for kind, places in kinds.items():
                    judgements = worker.check(kind, [tasks[place] for place in places])
                    for place, judgement in zip(places, judgements, strict=True):
                        found[place] = _unusable(judgement)
            return found

        problems = list(problems)
        if ":" in self.kind:
            return [None] * len(problems)
        reasons: list[tuple[str, str] | None] = []
        for found in self.workers.side_by_side(check, batches(problems, _BATCH)):
            reasons += found
            if progress is not None:
                progress(len(found))
        return reasons

    def close(self) -> None:
        """End the worker processes."""
        self.workers.close()

    def _group(
        self, problem: dict[str, Any], rollouts: Rows, trainer_state: Mapping[str, Any] | None
    ) -> tuple[Rows, list[Judgement]]:
        """Judge one problem's rollouts; under auto, recorded rewards are kept."""
        rows: Rows = []
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
            return rows, []
        request = {
            "golds": golds(problem["answer"] or ""),
            "row": json.loads(problem["row"]),
            "prompt": problem["prompt"],
            "messages": problem["messages"],
            "completions": [rollout["completion"] for rollout in left],
            "completion_ids": [rollout["token_ids"] for rollout in left],
            "trainer_state": trainer_state,
            "unfinished_thinking": self.unfinished_thinking,
        }
        request["kind"] = route(self.kind, Question.of(request))
        with self.workers.borrowed() as worker:
            judgements = worker.judge(request)
        for rollout, judgement in zip(left, judgements, strict=True):
            rows.append(_row(rollout) | vars(judgement))
        return rows, judgements

    def _note(self, judgements: list[Judgement]) -> None:
        """Count the problems on which a user's function failed completely."""
        if not judgements:
            return
        if all(judgement.reward is None for judgement in judgements):
            self._reason = judgements[0].detail or ""
            if all(judgement.is_failure for judgement in judgements):
                self._failed_in_a_row += 1
            else:
                self._silent += 1
        else:
            self._failed_in_a_row, self._proved = 0, True

    def _broken(self) -> LearnAlignError:
        return LearnAlignError(
            f"the reward function '{self.kind}' returned no reward: {self._reason}",
            expected="one reward per completion, or None where there is no reward",
            do="fix the function, or raise its limits (--set verifier.timeout_s=N, "
            "--set verifier.memory_mb=N); run the same command to resume",
        )


@contextmanager
def open_verifier(config: VerifierConfig) -> Iterator[Verifier]:
    """Yield a verifier, and end its processes afterwards.

    A user's function is imported immediately, in a worker.

    Raises:
        LearnAlignError: for an unknown kind, or a function that cannot be imported.

    Example:
        >>> with open_verifier(VerifierConfig(kind="mth")) as verifier:
        ...     pass
        Traceback (most recent call last):
        learnalign.errors.LearnAlignError: got the verifier 'mth'
          expected: auto, math, number, choice, words, time, code, text, reasoning_gym or module:function: the nearest is 'math'
          to do: correct --verifier
    """  # noqa: E501
    if ":" not in config.kind and config.kind not in KINDS:
        raise LearnAlignError(
            f"got the verifier '{config.kind}'",
            expected=f"{', '.join(KINDS)} or module:function: {nearest(config.kind, KINDS)}",
            do="correct --verifier",
        )
    verifier = Verifier(config)
    try:
        if ":" in config.kind:
            with verifier.workers.borrowed() as worker:
                worker.load(config.kind)
        yield verifier
    finally:
        verifier.close()


def _row(rollout: dict[str, Any]) -> dict[str, Any]:
    return {"problem_id": rollout["problem_id"], "sample": rollout["sample"]}


def _unusable(judgement: Judgement) -> tuple[str, str] | None:
    """Return why a gold cannot be used; None if it can."""
    if judgement.verdict == "correct":
        return None
    reason = "unparsed_gold" if judgement.verdict == "unparsed_gold" else "rejected_gold"
    return reason, judgement.detail or ""
