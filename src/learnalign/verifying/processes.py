"""A worker process that can be killed, so that a hang costs one answer and not the run."""

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

#: Seconds to start an interpreter and import a verifier; not part of an answer's time limit.
_START_S = 120.0
#: Exceptions for a worker that ended, or a line that is not a response to the request.
_NO_RESPONSE = (OSError, ValueError, TypeError, KeyError)


@dataclass(frozen=True)
class _Stop:
    """Why a request was only partly answered."""

    detail: str
    timed_out: bool = False
    """Otherwise the process ended, or sent an invalid response."""
    at_gold: bool = False


class ProcessClosedError(RuntimeError):
    """The worker was closed while a caller waited for it."""


class WorkerProcess:
    """One worker, started when first needed and again after a kill.

    Every response has the number of its request and an index. On any inconsistency (a wrong number,
    an invalid line, an end without a response) the worker's whole process group is killed, and the
    rest of the request is sent once more, to a new worker. Threads take turns.

    Args:
        timeout_s: Seconds for the gold and for each completion (for a user's function, times the
            number of completions, since it judges them together).
        memory_mb: Memory limit in MiB; None for no limit.
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
            self._request({"task": "load", "kind": kind}, 0, self.timeout_s)

    def judge(self, request: Mapping[str, Any]) -> list[Judgement]:
        """Judge a problem's completions; never hangs.

        Args:
            request: ``kind``, ``golds``, ``row``, ``prompt``, ``messages``, ``completions`` and
                ``completion_ids``; ``trainer_state`` in a training; ``wait_s`` if a judgement may
                take longer than the time limit.

        Returns:
            A judgement for each completion, in order.

        Raises:
            LearnAlignError: if no worker can be started, or the verifier cannot be imported.
        """
        completions, ids = request["completions"], request["completion_ids"]
        together = ":" in request["kind"]

        def remaining(done: int) -> dict[str, Any]:
            rest = {"completions": completions[done:], "completion_ids": ids[done:]}
            return {**request, **rest, "task": "judge"}

        def resolve(stop: _Stop, done: int) -> list[Judgement]:
            missing = len(completions) - done
            if together:
                return _together(stop, missing)
            if stop.at_gold and not done:
                return [_unparsed_gold(stop)] * missing
            if stop.timed_out:
                return [Judgement("timed_out", 0.0, detail=stop.detail)]
            return [failed(stop.detail)]

        wait_s = self.timeout_s * (len(completions) if together else 1)
        wait_s = request.get("wait_s", wait_s)
        return self._request_all(remaining, len(completions), wait_s, resolve)

    def check(self, kind: str, problems: Sequence[Mapping[str, Any]]) -> list[Judgement]:
        """Check golds by judging each against itself; see `learnalign.verifying.kinds.Kind.check`.

        Args:
            kind: A built-in verifier.
            problems: At least one, each with ``golds`` and ``row``.

        Returns:
            For each problem, correct, wrong or unparsed_gold.

        Raises:
            LearnAlignError: if no worker can be started, or the verifier cannot be imported.
        """
        return self._request_all(
            lambda done: {"task": "check", "kind": kind, "problems": problems[done:]},
            len(problems),
            problems[0].get("wait_s", self.timeout_s),
            lambda stop, done: [_unparsed_gold(stop)],
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
        """Drop the parent's process in a forked child, even if another thread held the lock."""
        self._lock = threading.Lock()
        self._end()

    def _request_all(
        self,
        remaining: Callable[[int], dict[str, Any]],
        count: int,
        wait_s: float,
        resolve: Callable[[_Stop, int], list[Judgement]],
    ) -> list[Judgement]:
        """Send requests until all ``count`` judgements are known.

        Args:
            remaining: Creates the request for the rest, given the number of known judgements.
            count: Total number of judgements.
            wait_s: Seconds for each response.
            resolve: Returns judgements after a failure; if the process ended, only after a retry.
        """
        done: list[Judgement] = []
        retried = False
        with self._lock:
            while len(done) < count:
                judgements, stop = self._request(remaining(len(done)), count - len(done), wait_s)
                done += judgements
                if stop is None:
                    continue
                if not stop.timed_out and (judgements or not retried):
                    retried = True
                    continue
                done += resolve(stop, len(done))
                retried = False
        return done

    def _request(
        self, request: dict[str, Any], count: int, wait_s: float
    ) -> tuple[list[Judgement], _Stop | None]:
        """Send one request; return the judgements received, and why the rest is missing, if any."""
        judgements: list[Judgement] = []
        has_gold = request["task"] == "judge"
        try:
            channel = self._send(request | {"count": count + has_gold})
            try:
                if has_gold:
                    gold = self._response(channel, 1, wait_s)
                    if gold is not None:
                        return [_judgement(gold)] * count, None
                    has_gold = False
                first = 2 if request["task"] == "judge" else 1
                while len(judgements) < count:
                    response = self._response(channel, first + len(judgements), wait_s)
                    judgements.append(_judgement(response))
            except TimeoutError:
                self._end()
                return judgements, _Stop(f"no judgement within {wait_s:g} s", True, has_gold)
            except _NO_RESPONSE as error:
                return judgements, _Stop(self._end_with_reason(error), at_gold=has_gold)
        except BaseException:
            self._end()  # for example an interrupt: the responses will not be read
            raise
        return judgements, None

    def _send(self, request: dict[str, Any]) -> Channel:
        """Send a request and wait until its verifier is imported; retry once in a new worker.

        Raises:
            LearnAlignError: if the verifier cannot be imported.
        """
        for last in (False, True):
            channel = self._start()
            self._number += 1
            line = json.dumps(request | {"number": self._number}).encode()
            try:
                channel.send(line, _START_S)
                import_error = importing.refusal(self._response(channel, 0, _START_S))
            except TimeoutError as error:
                self._end()
                raise importing.too_slow(request["kind"], _START_S) from error
            except _NO_RESPONSE as error:
                stderr = channel.stderr_tail
                reason = self._end_with_reason(error)
                import_error = importing.ended(request["kind"], reason, stderr)
            if import_error is None:
                return channel
            self._end()
            if last:
                raise import_error
        raise AssertionError

    def _response(self, channel: Channel, index: int, wait_s: float) -> Any:
        """Read the response for an index; raises one of `_NO_RESPONSE` if another one arrives."""
        line = channel.receive(wait_s)
        if line is None:
            raise BrokenPipeError
        response = json.loads(line)
        if (response["number"], response["place"]) != (self._number, index):
            raise ValueError("a response to another request")
        return response["said"]

    def _start(self) -> Channel:
        """Return the channel to the worker, which is started if it is not running."""
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
            process = self._child.process
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            streams = (process.stdout, process.stdin, process.stderr)
            self._channel = Channel(*(stream.fileno() for stream in streams))
            if self._closed:
                raise ProcessClosedError
            with suppress(BrokenPipeError):  # the process has ended; the request will report it
                self._channel.send(bootstrap.setup(self.memory_mb), _START_S)
        return self._channel

    def _end_with_reason(self, error: Exception) -> str:
        """End the process and return why it stopped responding."""
        code = self._end()
        if self._closed:
            raise ProcessClosedError
        if not isinstance(error, OSError):
            return "the verifier's process sent an invalid response"
        if code is None or code == -SIGKILL:  # our own kill, if it only closed its output
            return "the verifier's process was killed, or closed its output"
        if code < 0:
            return f"the verifier's process was killed by signal {-code} ({strsignal(-code)})"
        return f"the verifier's process ended with code {code}"

    def _end(self) -> int | None:
        """End the process, drop it and return its exit code."""
        child, self._child, self._channel = self._child, None, None
        return None if child is None else child.end()


def _judgement(response: Any) -> Judgement:
    """Decode a judgement.

    Raises:
        ValueError, TypeError, KeyError: if the response is not a judgement.
    """
    texts = [response["parsed_answer"], response["detail"], response["extracted_answer"]]
    if response["verdict"] not in VERDICT_KINDS or not all(
        isinstance(t, str | None) for t in texts
    ):
        raise ValueError("not a judgement")
    reward = response["reward"]
    if reward is not None and not isfinite(reward):
        raise ValueError("not a finite reward")
    parsed, detail, extracted = (t and t.encode(errors="replace").decode() for t in texts)
    return Judgement(response["verdict"], reward, parsed, detail, extracted)


def _unparsed_gold(stop: _Stop) -> Judgement:
    return Judgement("unparsed_gold", None, detail=f"the gold: {stop.detail}")


def _together(stop: _Stop, count: int) -> list[Judgement]:
    """Judge a group whose function returned nothing; it is unknown which completion is the cause.

    In a group of one it is known: a timeout gives a reward of 0.
    """
    if not stop.timed_out:
        return [failed(stop.detail)] * count
    detail = f"{stop.detail} for {count} completions together"
    return [Judgement("timed_out", 0.0 if count == 1 else None, detail=detail)] * count
