"""The tests' sandbox: runs test code, whose calls of the program go to the program's sandbox.

Each test runs in a forked copy, so that no program finds what an earlier one has left behind.
"""

import ast
import builtins
import importlib
import os
import socket
import sys
import types
from contextlib import suppress
from typing import Any

from .peer import GoneError, Peer, lines
from .reading import (
    checks_something,
    classes_of_tests,
    free_names,
    is_test_function,
    library_names,
    needs_pytest,
)

#: Characters of an assertion that are reported.
_REPORTED = 300


def main(channel: socket.socket, options: dict[str, Any]) -> None:
    """Serve the tests of one problem.

    Args:
        channel: Where messages come from.
        options: Not used.
    """
    send, receive = lines(channel.makefile("rb"), channel.makefile("wb"))
    _, sources, names = receive()
    try:
        tests = [Test(source, names) for source in sources]
    except BaseException as error:
        send(["failed", f"{type(error).__name__}: {error}"])
        return
    send(["loaded"])
    while True:
        _, index = receive()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                send(["done", tests[index].run(Peer(send, receive, strict=True))])
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            send(["done", "the tests ended their own process"])


class Test:
    """The code of a test, and the names that it takes from the program.

    Args:
        source: Python code; it fails by raising an exception.
        names: Names of the program that are used even if they are built-in ones.
    """

    def __init__(self, source: str, names: list[str]) -> None:
        self.source = source
        tree = ast.parse(source, "tests.py")
        if not checks_something(tree):
            raise ValueError("the code tests nothing: no assertion, call or test function runs")
        self.functions = [
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and is_test_function(node)
        ]
        self.classes = [node.name for node in classes_of_tests(tree)]
        self.code = compile(tree, "tests.py", "exec")
        _import_modules(tree)
        self.needs_pytest = needs_pytest(tree)
        if self.needs_pytest:
            importlib.import_module("pytest")
        free = free_names(tree) - set(names)
        self.libraries = {
            name: _member(module, member)
            for name, (module, member) in library_names(tree, free).items()
        }
        self.names = sorted(free - self.libraries.keys()) + names

    def run(self, peer: Peer) -> str | None:
        """Return why the test fails; None if it passes."""
        module = types.ModuleType("tests")
        sys.modules["tests"] = module
        sys.modules["solution"] = _Solution("solution", peer)
        space = vars(module)
        space.update(self.libraries)
        try:
            for name in self.names:
                with suppress(NameError, AttributeError):
                    space[name] = peer.name(name)
            exec(self.code, space)
            if self.needs_pytest:
                given = {
                    name: space[name] for name in (*self.libraries, *self.names) if name in space
                }
                return _with_pytest(self.source, given)
            for name in self.functions:
                space[name]()
            failures = [_failure_in(space[name]) for name in self.classes]
            return next(filter(None, failures), None)
        except GoneError:
            return "the program ended"
        except BaseException as error:
            return self._described(error)

    def _described(self, error: BaseException) -> str:
        """Describe an exception, with the line of the test that raised it."""
        trace, number = error.__traceback__, 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "tests.py":
                number = trace.tb_lineno
            trace = trace.tb_next
        text = (
            f"{error}" if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        )
        line = self.source.splitlines()[number - 1].strip() if number else ""
        return ": ".join(part[:_REPORTED] for part in (line, text) if part)


def _member(module: str, name: str) -> Any:
    """Return a member of a module; the module itself for an empty name."""
    found = importlib.import_module(module)
    return getattr(found, name) if name else found


class _Solution(types.ModuleType):
    """The program as a module, for tests that import it."""

    def __init__(self, name: str, peer: Peer) -> None:
        super().__init__(name)
        self.__dict__["_peer"] = peer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.__dict__["_peer"].name(name)
        except NameError as error:
            raise AttributeError(str(error)) from error


def _import_modules(tree: ast.Module) -> None:
    """Import what the tests import, once for all programs.

    Raises:
        ImportError: if it is missing, unless the tests go on without it.
    """
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            if name.partition(".")[0] == "solution":
                continue
            try:
                importlib.import_module(name)
            except ImportError:
                if node in tree.body:
                    raise
            except Exception:  # the tests themselves will say it
                continue


def _failure_in(kind: type) -> str | None:
    """Run the methods of a class of tests; return the first failure."""
    import unittest

    if issubclass(kind, unittest.TestCase):
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
        failed = [*result.failures, *result.errors, *result.expectedFailures, *result.skipped]
        if failed:
            test, text = failed[0]
            return f"{test.id()}: {text.strip()[-_REPORTED:]}"
        return None if result.wasSuccessful() else "an unexpected success"
    for name in [name for name in vars(kind) if name.startswith("test")]:
        case = kind()
        getattr(case, "setup_method", _nothing)()
        getattr(case, name)()
    return None


def _nothing() -> None:
    pass


def _with_pytest(source: str, names: dict[str, Any]) -> str | None:
    """Run a file of tests with pytest; return the first failure.

    Args:
        source: The file.
        names: What it uses without importing it.
    """
    import pytest

    # Pytest imports the file as another module, which finds the names among the built-in ones.
    vars(builtins).update((n, v) for n, v in names.items() if n not in vars(builtins))

    class Outcomes:
        passed, failure = 0, ""

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed or report.skipped:
                self.failure = (
                    self.failure or f"{report.nodeid}: {report.longreprtext[-_REPORTED:]}"
                )
            elif report.when == "call":
                self.passed += 1

    outcomes = Outcomes()
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), "test_program.py")
    with open(path, "w") as file:
        file.write(source)
    options = [path, "-q", "-p", "no:cacheprovider", "--rootdir=/tmp", "-c", "/dev/null"]
    status = pytest.main([*options, "--assert=plain"], plugins=[outcomes])
    if outcomes.failure or status:
        return outcomes.failure or f"pytest ended with status {int(status)}"
    return None if outcomes.passed else "no test ran"
