"""A worker process: reads numbered requests, one per line; a response has a request and an index.

The response at index 0 follows once the verifier is imported (or contains the import error). Then
each judgement is sent as soon as it is known, so that the caller knows which one hangs:

- ``judge``: the golds (null if they can be parsed), then each completion;
- ``check``: each problem's gold, judged against itself.
"""

import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

from learnalign.errors import LearnAlignError
from learnalign.verifying.bootstrap import ImportPath, limit
from learnalign.verifying.function import TrlFunction
from learnalign.verifying.judgement import Judgement, failed
from learnalign.verifying.kinds import Kind, named_kind

if TYPE_CHECKING:
    from learnalign.verifying.programs.verdicts import Programs

#: Maximum characters of an exception's text in a verdict's detail.
_DETAIL = 1_000


@cache
def verifier(name: str) -> "Kind | Programs | TrlFunction":
    """Import a verifier: one of `KINDS` except ``auto``, or ``module:function``.

    Raises:
        LearnAlignError: if a function does not exist.
        BaseException: any exception that a user's module raises on import.
    """
    return TrlFunction(name) if ":" in name else named_kind(name)


def judgements(request: dict[str, Any]) -> Iterator[Judgement | None]:
    """Yield the judgements of a request, by index from 1.

    Example:
        >>> request = {"task": "judge", "kind": "number", "golds": ["2"], "row": {}}
        >>> [j and j.verdict for j in judgements(request | {"completions": ["it is 2", "3"]})]
        [None, 'correct', 'wrong']
    """
    judge = verifier(request["kind"])
    if isinstance(judge, TrlFunction):
        yield None
        yield from judge(request)
    elif request["task"] == "check":
        yield from (judge.check(problem) for problem in request["problems"])
    else:
        yield from judge.judge(request)


def _texts(request: dict[str, Any]) -> Iterator[str]:
    """Yield the golds and the completions of a request."""
    for problem in (request, *request.get("problems", ())):
        yield from problem.get("golds", ())
        yield from problem.get("completions", ())


class _Server:
    """Answers requests until its input ends."""

    def __init__(self) -> None:
        # Closed in every child process, so that only this process responds.
        self.requests: BinaryIO = os.fdopen(os.dup(0), "rb")
        self.answers = os.dup(1)
        self.pipes: tuple[int, ...] = (self.requests.fileno(), self.answers)
        self.pid = os.getpid()
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)  # a verifier's prints go to the error stream
        os.register_at_fork(after_in_child=self._close_pipes)

    def serve(self) -> None:
        settings = json.loads(self.requests.readline() or b"null")
        if settings is None:
            return
        limit(settings["memory_mb"])
        imports = ImportPath(settings)
        for line in self.requests:
            request = json.loads(line)
            if ":" in request["kind"]:
                imports.import_as_the_parent_does()
            self._answer(request)

    def _answer(self, request: dict[str, Any]) -> None:
        number = request["number"]
        try:
            judge = verifier(request["kind"])
            if isinstance(judge, Kind):
                judge.load_for(_texts(request))
        except BaseException as error:  # a module may raise anything, including SystemExit
            self._send(number, 0, _refusal(request["kind"], error))
            return
        self._send(number, 0, None)
        count, sent = request["count"], 0
        try:
            for judgement in judgements(request):
                sent += 1
                self._send(number, sent, judgement and dataclasses.asdict(judgement))
        except BaseException as error:  # so may a function
            judgement_json = dataclasses.asdict(failed(_text(error)))
            for index in range(sent + 1, count + 1):
                self._send(number, index, judgement_json)

    def _send(self, number: int, index: int, response: Any) -> None:
        if os.getpid() != self.pid:
            os._exit(0)  # a copy that a user's function forked and left running
        line = json.dumps({"number": number, "place": index, "said": response}).encode() + b"\n"
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self.answers, view) :]
        except OSError:
            os._exit(1)  # the reader is gone

    def _close_pipes(self) -> None:
        """Close the pipes in a forked copy, only once: their descriptors may be reused."""
        pipes, self.pipes = self.pipes, ()
        for descriptor in pipes:
            with suppress(OSError):
                os.close(descriptor)


def _refusal(kind: str, error: BaseException) -> dict[str, str | None]:
    if isinstance(error, LearnAlignError):
        return {"got": error.got, "expected": error.expected, "do": error.do}
    frames = traceback.extract_tb(error.__traceback__)
    location = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return {
        "got": f"cannot import the verifier '{kind}': {_text(error)}{location}",
        "expected": "module:function that can be imported on its own without failing"
        if ":" in kind
        else "a complete installation",
        "do": "fix the module, install its dependencies, or raise its memory limit with --set "
        "verifier.memory_mb=N",
    }


def _text(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # an exception whose __str__ raises
        text = type(error).__name__
    return text[:_DETAIL]


def main() -> None:
    """Serve, then exit immediately, even if a verifier left threads running."""
    status = 1
    try:
        _Server().serve()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
