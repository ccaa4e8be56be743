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
        self.functions = [
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
        ]
        self.code = compile(tree, "tests.py", "exec")
        self.imported = _import_modules(tree)
        self.names = sorted(_free_names(tree) - set(names)) + names

    def run(self, peer: Peer) -> str | None:
        """Return why the test fails; None if it passes."""
        module = types.ModuleType("tests")
        sys.modules["tests"] = module
        sys.modules["solution"] = _Solution("solution", peer)
        space = vars(module)
        try:
            for name in self.names:
                with suppress(NameError, AttributeError):
                    space[name] = peer.name(name)
            exec(self.code, space)
            if "pytest" in self.imported:
                return _with_pytest(self.source, space)
            for name in self.functions:
                if space[name].__code__.co_argcount == 0:
                    space[name]()
        except GoneError:
            return "the program ended"
        except BaseException as error:
            return self._described(error)
        return None

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


def _free_names(tree: ast.Module) -> set[str]:
    """Return the names that code uses but neither defines nor imports; no built-in ones."""
    used: set[str] = set()
    bound = {"solution"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return used - bound - set(dir(builtins))


def _import_modules(tree: ast.Module) -> set[str]:
    """Import what the tests import, once for all programs; return the modules' names."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    for name in names - {"solution"}:
        with suppress(Exception):
            importlib.import_module(name)
    return names


def _with_pytest(source: str, space: dict[str, Any]) -> str | None:
    """Run a file of tests with pytest; return the first failure."""
    import pytest

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
