"""A process that judges and can be killed: a hang costs one answer, never the run."""

import json
import os
import select
import subprocess
import sys
import time
from typing import Any

from learnalign.verifying.judgement import Judgement

#: Starting an interpreter and importing a verifier is not part of an answer's time.
_START_S = 120.0


class WorkerProcess:
    """One worker, started when first needed and again after a kill.

    Args:
        timeout_s: Seconds for the gold, and for each completion (for a function of the user's:
            times the number of completions, since it sees them together).
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.process: subprocess.Popen[bytes] | None = None
        self.buffer = b""

    def judge(self, request: dict[str, Any]) -> list[Judgement]:
        """Judge a problem's completions, in their order; never hangs, never raises."""
        completions = request["completions"]
        together = ":" in request["kind"]
        done: list[Judgement] = []
        while len(done) < len(completions):
            rest = dict(request, completions=completions[len(done) :])
            rest["completion_ids"] = request["completion_ids"][len(done) :]
            found, stopped = self._ask(rest)
            done += found
            if stopped is not None:
                done += [stopped] * (len(completions) - len(done) if together else 1)
                if stopped.verdict == "unparsed_gold":
                    return [stopped] * len(completions)
        return done

    def close(self) -> None:
        """End the process at once."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _ask(self, request: dict[str, Any]) -> tuple[list[Judgement], Judgement | None]:
        """Give the judgements that came, and what stopped the rest (None if nothing did)."""
        count = len(request["completions"])
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return [], self._died()
        together = ":" in request["kind"]
        wait = self.timeout_s * (count if together else 1)
        found: list[Judgement] = []
        for place in range(2 + count):
            line = self._line(wait if place else _START_S)
            if line == b"":
                return found, self._died()
            if line is None:
                self.close()
                detail = f"no judgement within {wait if place else _START_S:g} s"
                if place <= 1 and not together:
                    return [], Judgement("unparsed_gold", None, detail=f"the gold: {detail}")
                return found, Judgement("timed_out", 0.0, detail=detail)
            if place == 0:
                continue
            plain = json.loads(line)
            if place == 1 and plain is not None:
                return [], Judgement(**plain)
            if place > 1:
                found.append(Judgement(**plain))
        return found, None

    def _started(self) -> "subprocess.Popen[bytes]":
        if self.process is None:
            self.buffer = b""
            self.process = subprocess.Popen(
                [sys.executable, "-m", "learnalign.verifying.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        return self.process

    def _line(self, wait: float) -> bytes | None:
        """Read one line; None when the time is up, empty when the process has ended."""
        assert self.process is not None
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + wait
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return None
            part = os.read(descriptor, 65_536)
            if not part:
                return b""
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def _died(self) -> Judgement:
        code = self.process.wait() if self.process is not None else None
        self.close()
        return Judgement("error", None, detail=f"the verifier's process ended with code {code}")
