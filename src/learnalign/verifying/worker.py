"""A worker process: requests are numbered lines; each response names its request and index.

A request is answered at index 0 once its verifier is imported (or with why it cannot be), and then
one index at a time as each judgement is known, so that the caller knows which one hangs:

- ``judge``: the gold (null if it is good), then each completion;
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
from typing import Any, BinaryIO

from learnalign.errors import LearnAlignError
from learnalign.verifying.bootstrap import ImportPath, limit
from learnalign.verifying.function import TrlFunction
from learnalign.verifying.judgement import Judgement, failed
from learnalign.verifying.kinds import Kind, named_kind

#: How much of an exception's text goes into a verdict's detail.
_DETAIL = 1_000


@cache
def verifier(name: str) -> "Kind | TrlFunction":
    """Import a verifier: ``math``, ``text``, ``choice``, ``number``, ``reasoning_gym`` or a name.

    Raises:
        LearnAlignError: for a function that is not there.
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


class _Server:
    """Answers requests until its input ends."""

    def __init__(self) -> None:
        # Closed in every child process: only this process answers.
        self.requests: BinaryIO = os.fdopen(os.dup(0), "rb")
        self.answers = os.dup(1)
        self.pipes: tuple[int, ...] = (self.requests.fileno(), self.answers)
        self.pid = os.getpid()
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)  # what a verifier prints goes to the error stream
        os.register_at_fork(after_in_child=self._let_go)

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
            verifier(request["kind"])
        except BaseException as error:  # a module may raise SystemExit, or anything
            self._send(number, 0, _refusal(request["kind"], error))
            return
        self._send(number, 0, None)
        count, sent = request["count"], 0
        try:
            for judgement in judgements(request):
                sent += 1
                self._send(number, sent, judgement and dataclasses.asdict(judgement))
        except BaseException as error:  # so may a function
            plain = dataclasses.asdict(failed(_text(error)))
            for place in range(sent + 1, count + 1):
                self._send(number, place, plain)

    def _send(self, number: int, place: int, response: Any) -> None:
        if os.getpid() != self.pid:
            os._exit(0)  # a copy that a user's function forked and left running
        line = json.dumps({"number": number, "place": place, "said": response}).encode() + b"\n"
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self.answers, view) :]
        except OSError:
            os._exit(1)  # no reader is left

    def _let_go(self) -> None:
        """Close the pipes once in a forked copy: their descriptors may be reused."""
        pipes, self.pipes = self.pipes, ()
        for descriptor in pipes:
            with suppress(OSError):
                os.close(descriptor)


def _refusal(kind: str, error: BaseException) -> dict[str, str | None]:
    if isinstance(error, LearnAlignError):
        return {"got": error.got, "expected": error.expected, "do": error.do}
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return {
        "got": f"cannot import the verifier '{kind}': {_text(error)}{where}",
        "expected": "module:function that can be imported by itself, without side effects that fail"
        if ":" in kind
        else "a complete installation",
        "do": "fix the module, install its dependencies, or raise its memory limit with --set "
        "verifier.memory_mb=N",
    }


def _text(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # an exception whose own text raises
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
