"""Run a program on the tests of a problem, with the tests in one sandbox and it in another.

This process passes messages between the two, and compares printed text and returned data itself.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from learnalign.problems.suites.suite import (
    CallTest,
    InputTest,
    ScriptTest,
    Suite,
    Test,
    UnreadableTestsError,
)
from learnalign.verifying.programs.comparison import same_output, same_result
from learnalign.verifying.programs.inside import codec
from learnalign.verifying.programs.limits import Limits
from learnalign.verifying.programs.outcome import Outcome
from learnalign.verifying.programs.sandbox import Sandbox
from learnalign.verifying.programs.seccomp import compiled_filter
from learnalign.verifying.programs.session import EndedError, Session, TooSlowError
from learnalign.verifying.programs.wording import Other, raised_text, shortened, shown

#: Seconds that the sandbox's own time limit of an input is given to come first.
_GRACE_S = 1.0
#: Share of the tests for which a reference solution must return a value.
_ENOUGH = 0.9


class Runner:
    """Runs programs on the tests of one problem; a context manager.

    Args:
        suite: The tests.
        limits: How programs are run.

    Raises:
        SandboxError: if a sandbox cannot be created.
        UnreadableTestsError: if the tests themselves do not work.
    """

    def __init__(self, suite: Suite, limits: Limits) -> None:
        self.suite, self.limits = suite, limits
        self._sandboxes: dict[str, Sandbox] = {}
        self._tests: Session | None = None
        self._has_scripts = any(isinstance(test, ScriptTest) for test in suite.tests)

    def run(self, program: str) -> Outcome:
        """Run a program on all tests, or until one fails.

        Raises:
            SandboxError: if a sandbox cannot be created.
            UnreadableTestsError: if the tests themselves do not work.
        """
        if any(isinstance(test, CallTest) and not test.expected for test in self.suite.tests):
            self.suite = self._with_references_values()
        outcome = Outcome(len(self.suite.tests))
        end = time.monotonic() + self.limits.total_s
        for kind, run in (
            (InputTest, self._run_input),
            (CallTest, self._run_call),
            (ScriptTest, self._run_script),
        ):
            tests = [(i, test) for i, test in enumerate(self.suite.tests) if isinstance(test, kind)]
            if tests and not self._over(outcome, end):
                self._run_all(program, tests, run, outcome, end)
        if not (outcome.failed and self.limits.stop_early):
            outcome.add_rest(f"no time left: {self.limits.total_s:g} s for all tests")
        return outcome

    def close(self) -> None:
        """End both sandboxes."""
        self._tests = None
        for sandbox in self._sandboxes.values():
            sandbox.close()
        self._sandboxes.clear()

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _over(self, outcome: Outcome, end: float) -> bool:
        if outcome.failed and self.limits.stop_early:
            return True
        return time.monotonic() > end

    def _run_all(
        self,
        program: str,
        tests: Iterable[tuple[int, Test]],
        run: Callable[[Session, int, Any, Outcome], None],
        outcome: Outcome,
        end: float,
    ) -> None:
        """Run tests of a kind in one process, or another one after it has ended."""
        mode = "stdin" if run == self._run_input else "calls"
        session: Session | None = None
        try:
            for index, test in tests:
                if self._over(outcome, end):
                    return
                if session is None:
                    session = self._session("program")
                    failure = self._load(session, mode, program, outcome)
                    if failure is not None:
                        (outcome.add if self.limits.stop_early else outcome.add_rest)(failure)
                        return
                try:
                    run(session, index, test, outcome)
                except EndedError as error:
                    why = str(error) or f"the program ended its process ({self._end(session)})"
                    outcome.add(why, test=shown(test))
                except TooSlowError as error:
                    outcome.add_timeout(self.limits.timeout_s, error.computing, test=shown(test))
                else:
                    continue
                self._end(session)
                session = None
        finally:
            if session is not None:
                self._end(session)

    def _session(self, module: str) -> Session:
        """Start a process in the sandbox of programs or of tests.

        The sandbox is kept for the next program of the problem where a filter of system calls
        keeps programs from each other; else each program gets a new one.
        """
        sandbox = self._sandboxes.get(module)
        if sandbox is None or not sandbox.is_open:
            sandbox = self._sandboxes[module] = self._sandbox(module)
        if not self._sandboxes.keys() - {module} and self._has_scripts:
            other = "tests" if module == "program" else "program"
            self._sandboxes[other] = self._sandbox(other)  # starts meanwhile
        return Session(sandbox)

    def _sandbox(self, module: str) -> Sandbox:
        limits = self.limits
        return Sandbox(
            limits.sandbox, module, memory_mb=limits.memory_mb, timeout_s=limits.timeout_s
        )

    def _end(self, session: Session) -> str:
        """End a program; say how it has ended before."""
        said = session.end()
        if self.limits.sandbox == "bubblewrap" and compiled_filter() is None:
            session.sandbox.close()
        return said

    def _load(self, session: Session, mode: str, program: str, outcome: Outcome) -> str | None:
        """Load a program; return why it cannot be loaded."""
        try:
            session.send([mode, program])
            message = session.receive(self.limits.timeout_s + _GRACE_S)
        except EndedError as error:
            return str(error) or f"the program ended when it was loaded ({self._end(session)})"
        except TooSlowError as error:
            outcome.add_timeout(self.limits.timeout_s, error.computing, test="loading the program")
            return "the program does not load in time"
        return None if message[0] == "loaded" else str(message[-1])

    def _run_input(self, session: Session, _: int, test: InputTest, outcome: Outcome) -> None:
        limit_s = self.limits.timeout_s
        session.send(["input", test.input])
        try:
            _, printed, said, status, timed_out, cpu_s = session.receive(limit_s + _GRACE_S)
        except ValueError:
            raise EndedError("it sent what is not an output") from None
        if timed_out:
            outcome.add_timeout(limit_s, cpu_s / limit_s, test=shown(test))
        elif status:
            reason = (str(said).strip().splitlines() or [f"exit status {status}"])[-1]
            outcome.add(reason, test=shown(test))
        elif not same_output(str(printed), test.output):
            outcome.add(
                f"printed {shortened(printed)}, expected {shortened(test.output)}", test=shown(test)
            )
        else:
            outcome.add(None)

    def _run_call(self, session: Session, _: int, test: CallTest, outcome: Outcome) -> None:
        """Call the function under test and compare what it returns."""
        expected = test.expected
        found, failure = self._call(session, test.arguments)
        if failure is None and not any(same_result(test, found, value) for value in expected):
            failure = f"got {shortened(found)}, expected {shortened(expected[0])}"
        outcome.add(failure, test=shown(test, self.suite.entry_point))

    def _call(self, session: Session, arguments: tuple[Any, ...]) -> tuple[Any, str | None]:
        """Return what the function under test returns for some arguments, or why it does not."""
        try:
            if session.entry_point is None:
                session.send(["name", self.suite.entry_point])
                answer = session.receive(self.limits.timeout_s)
                if answer[0] == "raise":
                    return None, raised_text(answer)
                session.entry_point, *_ = answer[1]["v"]
            coded = [codec.encode(item) for item in arguments]
            session.send(["call", session.entry_point, coded, {}])
            answer = session.receive(self.limits.timeout_s)
            if answer[0] == "raise":
                return None, raised_text(answer)
            return codec.decode(answer[1], lambda tag, content: Other()), None
        except codec.NotPlainError as error:
            return None, f"returned {error}"
        except (LookupError, TypeError, ValueError, RecursionError):
            return None, "returned what is not plain data"

    def _with_references_values(self) -> Suite:
        """Return the suite with what the reference solution returns as the expected values.

        A test whose value cannot be computed in time, or copied, is left out, if few are.
        """
        why = "there is none"
        for reference in self.suite.references:
            tests: list[Test] = []
            session: Session | None = None
            for test in self.suite.tests:
                if session is None:
                    session = self._session("program")
                    why = self._load(session, "calls", reference, Outcome(1)) or ""
                    if why:
                        break
                assert isinstance(test, CallTest)
                try:
                    value, failure = self._call(session, test.arguments)
                except (EndedError, TooSlowError) as error:
                    why = str(error) or "it takes too long, or too much memory"
                    self._end(session)
                    session = None
                    continue
                if failure is not None:
                    why = failure
                    break
                tests.append(replace(test, expected=(value,)))
            self._end_of(session)
            if len(tests) >= _ENOUGH * len(self.suite.tests):
                return replace(self.suite, tests=tuple(tests))
        raise UnreadableTestsError(f"the reference solution: {why}")

    def _end_of(self, session: Session | None) -> None:
        if session is not None:
            self._end(session)

    def _run_script(self, session: Session, index: int, _: ScriptTest, outcome: Outcome) -> None:
        """Run a test script, whose calls this process passes on to the program."""
        tests = self._tests_session()
        tests.send(["run", index])
        gone: Exception | None = None
        left_s = self.limits.timeout_s
        while True:
            try:
                line = tests.line(self.limits.timeout_s + _GRACE_S)
            except (EndedError, TooSlowError) as error:
                self._end_tests()
                raise gone or error from None
            if line.startswith(b'["done"'):
                break
            if gone is None:
                begin = time.monotonic()
                try:
                    session.send(line)
                    line = session.line(left_s)
                    left_s -= time.monotonic() - begin
                except (EndedError, TooSlowError) as error:
                    gone = error
            tests.send(line if gone is None else ["gone"])
        if gone is not None:
            raise gone
        outcome.add(codec.decode_line(line)[1])

    def _tests_session(self) -> Session:
        if self._tests is None:
            suite = self.suite
            tests = self._tests = self._session("tests")
            scripts = [test.code if isinstance(test, ScriptTest) else "" for test in suite.tests]
            tests.send(["tests", scripts, suite.names])
            try:
                message = tests.receive(self.limits.total_s)
            except (EndedError, TooSlowError) as error:
                self._end_tests()
                raise UnreadableTestsError(f"the tests do not load ({error})") from error
            if message[0] != "loaded":
                self._end_tests()
                raise UnreadableTestsError(f"the tests do not load: {message[-1]}")
        return self._tests

    def _end_tests(self) -> None:
        if self._tests is not None:
            self._tests.end()
            self._tests = None
