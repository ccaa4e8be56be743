"""A worker process that can be killed: a hang costs one answer, not the run."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from signal import SIGKILL, strsignal
from typing import Any

from learnalign.process_guard import Child
from learnalign.tables import VERDICT_KINDS
from learnalign.verifying import bootstrap, importing
from learnalign.verifying.channel import Channel
from learnalign.verifying.judgement import Judgement, failed
from learnalign.verifying.limits import no_worker

#: Seconds to start an interpreter and import a verifier; no part of an answer's time.
_START_S = 120.0
#: What comes of a worker that ended, and of a line that is no answer to the request.
_NO_ANSWER = (OSError, ValueError, TypeError, KeyError)


@dataclass(frozen=True)
class _Stop:
    """Why a request was answered only in part."""

    detail: str
    late: bool = False
    """Whether time ran out; else the process ended, or said what makes no sense."""
    at_gold: bool = False


class ProcessClosedError(RuntimeError):
    """The worker was closed while a caller waited for it."""


class WorkerProcess:
    """One worker, started when first needed and again after a kill.

    Every answer names its request and its place. On any doubt (another number, a line that is no
    answer, an end without an answer) the worker's whole process group is killed, and what is left
    of the request is asked once again, of a new one. Threads take turns.

    Args:
        timeout_s: Seconds for the gold, and for each completion (for a function of the user's:
            times the number of completions, since it sees them together).
        memory_mb: What it may allocate, in MiB; None for no limit.
    """

    def __init__(self, timeout_s: float, memory_mb: int | None = None) -> None:
        self.timeout_s, self.memory_mb = timeout_s, memory_mb
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._channel: Channel | None = None
        self._number = 0
        self._closed = False

    def load(self, kind: str) -> None:
        """Import a verifier in the worker; raises LearnAlignError if that fails."""
        with self._lock:
            self._ask({"task": "load", "kind": kind}, 0, self.timeout_s)

    def judge(self, request: Mapping[str, Any]) -> list[Judgement]:
        """Judge a problem's completions; never hangs.

        Args:
            request: ``kind``, ``golds``, ``row``, ``prompt``, ``messages``, ``completions`` and
                ``completion_ids``; ``trainer_state`` in a training.

        Returns:
            A judgement for each completion, in their order.

        Raises:
            LearnAlignError: if no worker can be started, or the verifier cannot be imported.
        """
        completions, ids = request["completions"], request["completion_ids"]
        together = ":" in request["kind"]

        def rest(done: int) -> dict[str, Any]:
            left = {"completions": completions[done:], "completion_ids": ids[done:]}
            return {**request, **left, "task": "judge"}

        def settle(stop: _Stop, done: int) -> list[Judgement]:
            left = len(completions) - done
            if together:
                return _together(stop, left)
            if stop.at_gold and not done:
                return [_unreadable(stop)] * left
            if stop.late:
                return [Judgement("timed_out", 0.0, detail=stop.detail)]
            return [failed(stop.detail)]

        wait_s = self.timeout_s * (len(completions) if together else 1)
        return self._all(rest, len(completions), wait_s, settle)

    def check(self, kind: str, problems: Sequence[Mapping[str, Any]]) -> list[Judgement]:
        """Check golds by judging each against itself; see `learnalign.verifying.kinds.Kind.check`.

        Args:
            kind: A verifier that has a name.
            problems: Each with ``golds`` and ``row``.

        Returns:
            correct, wrong or unparsed_gold, problem by problem.

        Raises:
            LearnAlignError: if no worker can be started, or the verifier cannot be imported.
        """
        return self._all(
            lambda done: {"task": "check", "kind": kind, "problems": problems[done:]},
            len(problems),
            self.timeout_s,
            lambda stop, done: [_unreadable(stop)],
        )

    def close(self) -> None:
        """End the process permanently; callers waiting for an answer get `ProcessClosedError`."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            self._end()

    def discard_cached(self) -> None:
        """Drop the parent's process in a forked child, whichever thread held the lock."""
        self._lock = threading.Lock()
        self._end()

    def _all(
        self,
        rest: Callable[[int], dict[str, Any]],
        count: int,
        wait_s: float,
        settle: Callable[[_Stop, int], list[Judgement]],
    ) -> list[Judgement]:
        """Ask until each of ``count`` has its judgement.

        Args:
            rest: Makes the request for those after the first so many.
            count: How many there are.
            wait_s: Seconds for each answer.
            settle: Judges what stopped the worker; where it ended by itself, only the second time.
        """
        done: list[Judgement] = []
        again = False
        with self._lock:
            while len(done) < count:
                found, stop = self._ask(rest(len(done)), count - len(done), wait_s)
                done += found
                if stop is None:
                    continue
                if not stop.late and (found or not again):
                    again = True
                    continue
                done += settle(stop, len(done))
                again = False
        return done

    def _ask(
        self, request: dict[str, Any], count: int, wait_s: float
    ) -> tuple[list[Judgement], _Stop | None]:
        """Ask once; give the judgements that came, and what stopped the rest, if anything did."""
        found: list[Judgement] = []
        has_gold = request["task"] == "judge"
        try:
            channel = self._begun(request | {"count": count + has_gold})
            try:
                if has_gold:
                    gold = self._answer(channel, 1, wait_s)
                    if gold is not None:
                        return [_judgement(gold)] * count, None
                    has_gold = False
                first = 2 if request["task"] == "judge" else 1
                while len(found) < count:
                    response = self._answer(channel, first + len(found), wait_s)
                    found.append(_judgement(response))
            except TimeoutError:
                self._end()
                return found, _Stop(f"no judgement within {wait_s:g} s", True, has_gold)
            except _NO_ANSWER as error:
                return found, _Stop(self._ended(error), at_gold=has_gold)
        except BaseException:
            self._end()  # an interrupt, say: nobody will read the answers
            raise
        return found, None

    def _begun(self, request: dict[str, Any]) -> Channel:
        """Send a request to a worker that has its verifier imported; a second one may try.

        Raises:
            LearnAlignError: if the verifier cannot be imported.
        """
        for last in (False, True):
            channel = self._started()
            self._number += 1
            line = json.dumps(request | {"number": self._number}).encode()
            try:
                channel.send(line, _START_S)
                refused = importing.refusal(self._answer(channel, 0, _START_S))
            except TimeoutError as error:
                self._end()
                raise importing.too_slow(request["kind"], _START_S) from error
            except _NO_ANSWER as error:
                stderr = channel.stderr_tail
                refused = importing.ended(request["kind"], self._ended(error), stderr)
            if refused is None:
                return channel
            self._end()
            if last:
                raise refused
        raise AssertionError

    def _answer(self, channel: Channel, place: int, wait_s: float) -> Any:
        """Read the response for an index; raises one of `_NO_ANSWER` if another one arrives."""
        line = channel.receive(wait_s)
        if line is None:
            raise BrokenPipeError
        answer = json.loads(line)
        if (answer["number"], answer["place"]) != (self._number, place):
            raise ValueError("a response to another request")
        return answer["said"]

    def _started(self) -> Channel:
        if self._channel is None:
            if self._closed:
                raise ProcessClosedError
            try:
                self._child = Child(
                    bootstrap.command(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
            except OSError as error:
                raise no_worker(error) from error
            self._channel = Channel(self._child)
            if self._closed:
                raise ProcessClosedError
            with suppress(BrokenPipeError):  # it has ended already: whoever asks it is told
                self._channel.send(bootstrap.setup(self.memory_mb), _START_S)
        return self._channel

    def _ended(self, error: Exception) -> str:
        """End the process and return what is known about its end."""
        code = self._end()
        if self._closed:
            raise ProcessClosedError
        if not isinstance(error, OSError):
            return "the verifier's process gave what is no answer to its request"
        if code is None or code == -SIGKILL:  # ours, where it lived on without its output
            return "the verifier's process was killed, or closed its output"
        if code < 0:
            return f"the verifier's process was ended by signal {-code} ({strsignal(-code)})"
        return f"the verifier's process ended with code {code}"

    def _end(self) -> int | None:
        """End the process and forget it; give its exit code."""
        child, self._child, self._channel = self._child, None, None
        return None if child is None else child.end()


def _judgement(response: Any) -> Judgement:
    """Read a judgement.

    Raises:
        ValueError, TypeError, KeyError: if it is none.
    """
    texts = [response["parsed_answer"], response["detail"], response["extracted_answer"]]
    if response["verdict"] not in VERDICT_KINDS or not all(
        isinstance(t, str | None) for t in texts
    ):
        raise ValueError("no judgement")
    reward = response["reward"]
    if reward is not None and not isfinite(reward):
        raise ValueError("no reward")
    parsed, detail, extracted = (t and t.encode(errors="replace").decode() for t in texts)
    return Judgement(response["verdict"], reward, parsed, detail, extracted)


def _unreadable(stop: _Stop) -> Judgement:
    return Judgement("unparsed_gold", None, detail=f"the gold: {stop.detail}")


def _together(stop: _Stop, count: int) -> list[Judgement]:
    """Judge a group whose function returned nothing; the completion at fault is unknown.

    A group of one is an exception: its completion gets a reward of 0.
    """
    if not stop.late:
        return [failed(stop.detail)] * count
    detail = f"{stop.detail} for {count} completions together"
    return [Judgement("timed_out", 0.0 if count == 1 else None, detail=detail)] * count
