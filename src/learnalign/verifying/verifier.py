"""Computing the verdicts of a shard with several worker processes."""

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
from learnalign.problems.suites.registry import is_tests
from learnalign.tables import VERDICTS, golds
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.programs.request import PROGRAM, program_request
from learnalign.verifying.question import Question
from learnalign.verifying.routing import KINDS, route
from learnalign.verifying.workers import Workers, batches

#: Golds per request to a worker, to share the cost of a round trip; fewer where programs run.
_BATCH, _FEW = 64, 4
#: Consecutive problems on which a function may fail, at the start or at any time in a training.
_MAX_FAILURES = 8
#: Problems for which a function may return None in a training before its first reward.
_MAX_WITHOUT_REWARD = 64

Rows = list[dict[str, Any]]


class Verifier:
    """Judges rollouts with a set of worker processes; created by `open_verifier`."""

    def __init__(self, config: VerifierConfig) -> None:
        self.kind, self.unfinished_thinking = config.kind, config.unfinished_thinking
        self.config = config
        self.workers = Workers(
            config.workers or os.cpu_count() or 1, config.timeout_s, config.memory_mb
        )
        self._has_worked = ":" not in config.kind
        self._consecutive_failures = self._without_reward = 0
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
            rollouts: ROLLOUTS table of some of these problems.
            progress: Called with 1 after each problem.
            trainer_state: Training state passed to a user's function, e.g. ``global_step``.

        Returns:
            VERDICTS table, with the rows in the order of ``rollouts``.

        Raises:
            LearnAlignError: if a user's function fails on all of the first problems or can no
                longer be imported, or if no worker can be started.
        """
        by_id = {row["problem_id"]: row for row in problems.drop(["prompt_ids"]).to_pylist()}
        groups: dict[str, Rows] = {}
        for rollout in rollouts.drop(["logprobs"]).to_pylist():
            groups.setdefault(rollout["problem_id"], []).append(rollout)

        def judge(problem_id: str) -> tuple[Rows, list[Judgement]]:
            return self._judge_group(by_id[problem_id], groups[problem_id], trainer_state)

        verdicts: dict[tuple[str, int], dict[str, Any]] = {}
        for rows, judgements in self.workers.map(judge, groups):
            verdicts.update({(row["problem_id"], row["sample"]): row for row in rows})
            self._count_failures(judgements)
            if not self._has_worked and self._consecutive_failures >= _MAX_FAILURES:
                raise self._broken()
            if progress is not None:
                progress(1)
        for rollout in rollouts_under_load(groups, verdicts) if ":" not in self.kind else ():
            (row,), _ = self._judge_group(
                by_id[rollout["problem_id"]], [rollout], trainer_state, alone=True
            )
            verdicts[row["problem_id"], row["sample"]] = row
        keys = zip(rollouts["problem_id"].to_pylist(), rollouts["sample"].to_pylist(), strict=True)
        return pa.Table.from_pylist([verdicts[key] for key in keys], schema=VERDICTS)

    def require_works(self, *, always: bool = False) -> None:
        """Raise if a user's function has failed on every problem so far.

        Args:
            always: For a training: also raise if it worked before but has failed on the last few
                problems, or if it has returned None for many problems and never a reward.

        Raises:
            LearnAlignError: with the reason of the last failure.
        """
        never_worked = self._consecutive_failures > 0 or (
            always and self._without_reward >= _MAX_WITHOUT_REWARD
        )
        if (never_worked and not self._has_worked) or (
            always and self._consecutive_failures >= _MAX_FAILURES
        ):
            raise self._broken()

    def check_golds(
        self, problems: Iterable[Mapping[str, Any]], progress: Callable[[int], None] | None = None
    ) -> list[tuple[str, str] | None]:
        """Check each gold: parse it, format it as an answer, and judge that answer.

        A user's function is never called.

        Args:
            problems: Each with ``answer``, ``prompt`` and ``row`` (JSON text), as in PROBLEMS.
            progress: Called with the number of problems just checked.

        Returns:
            For each problem None, or why it is unusable: ``unparsed_gold`` or ``rejected_gold``,
            with the verifier's detail.
        """

        def check(batch: list[Mapping[str, Any]]) -> list[tuple[str, str] | None]:
            kinds: dict[str, list[int]] = {}
            tasks = []
            for index, problem in enumerate(batch):
                row = json.loads(problem["row"])
                task = {"golds": golds(problem["answer"]), "row": row if is_gym_row(row) else {}}
                task["prompt"] = problem["prompt"]
                kinds.setdefault(route(self.kind, Question.of(task)), []).append(index)
                tasks.append(task)
            reasons: list[tuple[str, str] | None] = [None] * len(batch)
            with self.workers.borrowed() as worker:
                for kind, indices in kinds.items():
                    options = program_request(self.config) if kind == PROGRAM else {}
                    judgements = worker.check(kind, [tasks[i] | options for i in indices])
                    for index, judgement in zip(indices, judgements, strict=True):
                        reasons[index] = _unusable(judgement)
            return reasons

        problems = list(problems)
        if ":" in self.kind:
            return [None] * len(problems)
        result: list[tuple[str, str] | None] = []
        runs = any(is_tests(gold) for problem in problems[:1] for gold in golds(problem["answer"]))
        size = _FEW if runs else _BATCH
        for reasons in self.workers.map(check, batches(problems, size)):
            result += reasons
            if progress is not None:
                progress(len(reasons))
        return result

    def close(self) -> None:
        """End the worker processes."""
        self.workers.close()

    def _judge_group(
        self,
        problem: dict[str, Any],
        rollouts: Rows,
        trainer_state: Mapping[str, Any] | None,
        *,
        alone: bool = False,
    ) -> tuple[Rows, list[Judgement]]:
        """Judge one problem's rollouts; with ``auto``, recorded rewards are kept."""
        rows: Rows = []
        unjudged = []
        for rollout in rollouts:
            reward = rollout["recorded_reward"]
            if self.kind == "auto" and reward is not None and not math.isfinite(reward):
                detail = f"the recorded reward is {reward}"
                rows.append(_row(rollout) | {"verdict": "error", "detail": detail})
            elif self.kind == "auto" and reward is not None:
                verdict = "correct" if reward > 0.5 else "wrong"
                rows.append(_row(rollout) | {"verdict": verdict, "reward": reward})
            else:
                unjudged.append(rollout)
        if not unjudged:
            return rows, []
        request = {
            "golds": golds(problem["answer"] or ""),
            "row": json.loads(problem["row"]),
            "prompt": problem["prompt"],
            "messages": problem["messages"],
            "completions": [rollout["completion"] for rollout in unjudged],
            "completion_ids": [rollout["token_ids"] for rollout in unjudged],
            "trainer_state": trainer_state,
            "unfinished_thinking": self.unfinished_thinking,
        }
        request["kind"] = route(self.kind, Question.of(request))
        if request["kind"] == PROGRAM:
            request |= program_request(self.config) | {"alone": alone}
        with self.workers.borrowed() as worker:
            judgements = worker.judge(request)
        for rollout, judgement in zip(unjudged, judgements, strict=True):
            rows.append(_row(rollout) | vars(judgement))
        return rows, judgements

    def _count_failures(self, judgements: list[Judgement]) -> None:
        """Count the problems for which a user's function returned no reward at all."""
        if not judgements:
            return
        if all(judgement.reward is None for judgement in judgements):
            self._reason = judgements[0].detail or ""
            if all(judgement.is_failure for judgement in judgements):
                self._consecutive_failures += 1
            else:
                self._without_reward += 1
        else:
            self._consecutive_failures, self._has_worked = 0, True

    def _broken(self) -> LearnAlignError:
        return LearnAlignError(
            f"the reward function '{self.kind}' returned no reward: {self._reason}",
            expected="one reward per completion, or None for a completion without a reward",
            do="fix the function, or raise its limits (--set verifier.timeout_s=N, "
            "--set verifier.memory_mb=N); run the same command to resume",
        )


@contextmanager
def open_verifier(config: VerifierConfig) -> Iterator[Verifier]:
    """Yield a verifier, and end its processes afterwards.

    A user's function is imported at once, in a worker.

    Raises:
        LearnAlignError: for an unknown kind, a function that cannot be imported, or programs
            without a sandbox.

    Example:
        >>> with open_verifier(VerifierConfig(kind="mth")) as verifier:
        ...     pass
        Traceback (most recent call last):
        learnalign.errors.LearnAlignError: got the verifier 'mth'
          expected: auto, math, number, choice, words, time, code, text, program, reasoning_gym or module:function: the nearest is 'math'
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
        if config.kind == PROGRAM:
            program_request(config)
        if ":" in config.kind:
            with verifier.workers.borrowed() as worker:
                worker.load(config.kind)
        yield verifier
    finally:
        verifier.close()


def rollouts_under_load(
    groups: Mapping[str, Rows], verdicts: Mapping[tuple[str, int], Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the rollouts whose program may have been waiting for its turn when its time was over.

    Such a time-out has no reward; the program runs again while nothing else does.
    """
    for problem_id, rollouts in groups.items():
        for rollout in rollouts:
            verdict = verdicts[problem_id, rollout["sample"]]
            if verdict["verdict"] == "timed_out" and verdict.get("reward") is None:
                yield rollout


def _row(rollout: dict[str, Any]) -> dict[str, Any]:
    return {"problem_id": rollout["problem_id"], "sample": rollout["sample"]}


def _unusable(judgement: Judgement) -> tuple[str, str] | None:
    """Return why a gold cannot be used; None if it can."""
    if judgement.verdict in ("correct", "error"):  # an error says nothing about the gold
        return None
    reason = "unparsed_gold" if judgement.verdict == "unparsed_gold" else "rejected_gold"
    return reason, judgement.detail or ""
