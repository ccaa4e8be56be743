"""Run a program on the tests of a problem on a server, to which inputs and arguments are sent.

What is expected stays here: printed text and returned data are compared by this process. A test
script needs a sandbox of tests, which a server does not have; an assertion that a call equals a
literal is taken as a call.
"""

import ast
import json
import secrets
import time
from typing import Any

from learnalign.problems.suites.suite import (
    CallTest,
    InputTest,
    ScriptTest,
    Suite,
    Test,
    UnreadableTestsError,
)
from learnalign.verifying.programs.bubblewrap import inside_folder
from learnalign.verifying.programs.comparison import same_output, same_result
from learnalign.verifying.programs.inside import codec
from learnalign.verifying.programs.limits import Limits
from learnalign.verifying.programs.outcome import Outcome
from learnalign.verifying.programs.servers import Finished, run_remotely
from learnalign.verifying.programs.wording import shown

#: Behind the source of the codec: calls a function once for each line of the input, and prints
#: each result behind a mark.
_DRIVER = """
import builtins as _builtins, sys as _sys
_given = [json.loads(_line) for _line in _sys.stdin]
_mark, _name, _source = _given[0]
_builtins.exit = _builtins.quit = _sys.exit
_space = {"__name__": "solution"}
exec(compile(_source, "solution.py", "exec"), _space)
for _call in _given[1:]:
    _function = _space.get(_name) or getattr(_space["Solution"](), _name)
    try:
        _result = ["value", encode(_function(*map(decode, _call)))]
    except Exception as _error:
        _result = ["raise", f"{type(_error).__name__}: {_error}"[:200]]
    print("\\n" + _mark + json.dumps(_result), flush=True)
"""


class RemoteRunner:
    """Runs programs on the tests of one problem; a context manager, as `running.Runner`.

    Args:
        suite: The tests.
        limits: How programs are run; ``url`` is the server's.

    Raises:
        UnreadableTestsError: for test scripts.
    """

    def __init__(self, suite: Suite, limits: Limits) -> None:
        self.limits = limits
        self.tests = [_as_call(test, suite) for test in suite.tests]
        self.name = suite.entry_point or next((t.name for t in self.tests if t.name), None)
        self.suite = suite

    def run(self, program: str) -> Outcome:
        """Run a program on all tests, or until one fails.

        Raises:
            SandboxError: if the server does not answer.
            UnreadableTestsError: if the expected values are missing.
        """
        outcome = Outcome(len(self.tests))
        end = time.monotonic() + self.limits.total_s
        calls = [one.test for one in self.tests if isinstance(one.test, CallTest)]
        if calls:
            self._run_calls(program, calls, outcome)
        for one in self.tests:
            if outcome.failed and self.limits.stop_early:
                return outcome
            if isinstance(one.test, InputTest) and time.monotonic() < end:
                self._run_input(program, one.test, outcome)
        outcome.add_rest(f"no time left: {self.limits.total_s:g} s for all tests")
        return outcome

    def __enter__(self) -> "RemoteRunner":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def _run(self, source: str, stdin: str, timeout_s: float) -> Finished:
        limits = self.limits
        return run_remotely(
            limits.sandbox,
            limits.url or "",
            source,
            stdin,
            timeout_s=timeout_s,
            memory_mb=limits.memory_mb,
        )

    def _run_input(self, program: str, test: InputTest, outcome: Outcome) -> None:
        done = self._run(program, test.input, self.limits.timeout_s)
        if done.timed_out:
            outcome.add_timeout(self.limits.timeout_s, 1.0, test=shown(test))
        elif done.status:
            outcome.add(_last_line(done), test=shown(test))
        elif not same_output(done.output, test.output):
            outcome.add(f"printed {done.output[:200]!r}", test=shown(test))
        else:
            outcome.add(None)

    def _run_calls(self, program: str, tests: list[CallTest], outcome: Outcome) -> None:
        """Make all calls with one request, and compare what comes back."""
        results, done = self._results(program, tests)
        for number, test in enumerate(tests):
            if outcome.failed and self.limits.stop_early:
                return
            name = shown(test, self.name)
            if number < len(results):
                kind, value = results[number]
                right = kind == "value" and any(
                    same_result(test, value, one) for one in self._expected(test)
                )
                outcome.add(None if right else f"{kind} {value!r}"[:300], test=name)
            elif number == len(results) and done.timed_out:
                outcome.add_timeout(self.limits.timeout_s, 1.0, test=name)
            else:
                outcome.add(_last_line(done), test=name)

    def _results(self, program: str, tests: list[CallTest]) -> tuple[list[Any], Finished]:
        mark = secrets.token_hex(8)
        calls = [[codec.encode(item) for item in test.arguments] for test in tests]
        lines = [json.dumps(line) for line in ([mark, self.name, program], *calls)]
        source = (inside_folder() / "codec.py").read_text() + _DRIVER
        time_s = min(self.limits.timeout_s * len(tests), self.limits.total_s)
        done = self._run(source, "\n".join(lines), time_s)
        results = []
        for line in done.output.splitlines():
            if line.startswith(mark):
                try:
                    kind, value = json.loads(line[len(mark) :])
                    results.append((kind, codec.decode(value) if kind == "value" else value))
                except (ValueError, TypeError, LookupError, RecursionError):
                    results.append(("raise", "what it returned is not plain data"))
        return results, done

    def _expected(self, test: CallTest) -> tuple[Any, ...]:
        if not test.expected:
            raise UnreadableTestsError("expected values of a reference need --sandbox bubblewrap")
        return test.expected


class _Named:
    """A test, and the function that it calls."""

    def __init__(self, test: Test, name: str | None = None) -> None:
        self.test, self.name = test, name


def _as_call(test: Test, suite: Suite) -> _Named:
    """Read an assertion that a call equals a literal as a call; other scripts are refused."""
    if not isinstance(test, ScriptTest):
        return _Named(test, suite.entry_point)
    try:
        (statement,) = ast.parse(test.code).body
        assert isinstance(statement, ast.Assert)
        compared = statement.test
        assert isinstance(compared, ast.Compare)
        call, (expected,), (operator,) = compared.left, compared.comparators, compared.ops
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        assert isinstance(operator, ast.Eq)
        assert not call.keywords
        arguments = tuple(ast.literal_eval(argument) for argument in call.args)
        return _Named(CallTest(arguments, (ast.literal_eval(expected),)), call.func.id)
    except (AssertionError, ValueError, SyntaxError, TypeError) as error:
        raise UnreadableTestsError(
            "a test script needs --sandbox bubblewrap: a server runs inputs, calls, and assertions "
            "that a call equals a literal"
        ) from error


def _last_line(done: Finished) -> str:
    lines = done.errors.strip().splitlines()
    return lines[-1][:300] if lines else f"exit status {done.status}"
