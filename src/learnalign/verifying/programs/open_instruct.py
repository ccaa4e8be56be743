"""Run a program and its tests on a server of open-instruct, which says what passes.

Source: open_instruct/code_utils/api.py and code_utils.py. The server executes each test after the
program in one process, so a program can reach its tests, and answers 1 or 0 for each: a test that
takes too long is 0, too. It executes no program that contains one of certain words.
"""

import ast
import time

from learnalign.problems.suites.suite import (
    UNPARSABLE,
    CallTest,
    InputTest,
    ScriptTest,
    Suite,
    Test,
    UnreadableTestsError,
    statements,
)
from learnalign.verifying.programs.limits import Limits
from learnalign.verifying.programs.outcome import Outcome
from learnalign.verifying.programs.sandbox import SandboxError
from learnalign.verifying.programs.servers import post
from learnalign.verifying.programs.wording import shown

#: Words for which the server answers 0 without running the program.
_REFUSED = (
    *("threading", "multiprocess", "import os", "from os", "shutil"),
    *("import torch", "from torch", "import sklearn", "from sklearn"),
)
_PATHS = {True: "test_program_stdio", False: "test_program"}


class OpenInstructRunner:
    """Runs programs on the tests of one problem; a context manager, as `running.Runner`.

    Args:
        suite: The tests.
        limits: How programs are run; ``url`` is the server's, with or without its path.

    Raises:
        UnreadableTestsError: for tests that do nothing when they are executed.
    """

    def __init__(self, suite: Suite, limits: Limits) -> None:
        self.limits, self.suite = limits, suite
        url = (limits.url or "").rstrip("/")
        for path in _PATHS.values():
            url = url.removesuffix(f"/{path}")
        self.requests = []
        """Paths, the tests that go there, and the same in the server's form."""
        for is_input, path in _PATHS.items():
            tests = [test for test in suite.tests if isinstance(test, InputTest) is is_input]
            sent = [_sent(test, suite.entry_point) for test in tests]
            if tests:
                self.requests.append((f"{url}/{path}", tests, sent))

    def run(self, program: str) -> Outcome:
        """Run a program on all tests.

        Raises:
            SandboxError: if the server does not answer, or would not run the program.
        """
        refused = next((word for word in _REFUSED if word in program), None)
        if refused is not None:
            raise SandboxError(f"open-instruct's server runs no program that contains '{refused}'")
        outcome = Outcome(len(self.suite.tests))
        limit_s = self.limits.timeout_s
        for url, tests, sent in self.requests:
            content = {"program": program, "tests": sent, "max_execution_time": limit_s}
            begin = time.monotonic()
            results = post(url, content, limit_s * len(tests)).get("results")
            if not isinstance(results, list) or len(results) != len(tests):
                raise SandboxError(f"{url} answers {results!r} for {len(tests)} tests")
            may_be_late = time.monotonic() - begin >= limit_s
            for test, passed in zip(tests, results, strict=True):
                name = shown(test, self.suite.entry_point)
                if passed == 1:
                    outcome.add(None)
                elif may_be_late:
                    outcome.add_timeout(limit_s, 0.0, test=name)
                else:
                    outcome.add("the server says that it fails", test=name)
        return outcome

    def __enter__(self) -> "OpenInstructRunner":
        return self

    def __exit__(self, *_: object) -> None:
        return


def _sent(test: Test, name: str | None) -> object:
    """Return a test as the server takes it: an input with its output, or code to execute."""
    if isinstance(test, InputTest):
        return {"input": test.input, "output": test.output}
    if isinstance(test, CallTest):
        return _assertion(test, name)
    if not _is_executed(test):
        raise UnreadableTestsError(
            "functions of tests need --sandbox bubblewrap: open-instruct's server executes "
            "assertions, and calls no test"
        )
    return test.code


def _assertion(test: CallTest, name: str | None) -> str:
    """Return code that calls the function under test and compares its result."""
    if not test.expected or test.rule != "value":
        raise UnreadableTestsError("expected values of a reference need --sandbox bubblewrap")
    arguments, expected = map(repr, (test.arguments, test.expected))
    try:
        ast.literal_eval(f"{arguments}, {expected}")
    except UNPARSABLE as error:
        raise UnreadableTestsError("arguments that are no literals need a sandbox") from error
    return (
        f"_function = globals().get({name!r}) or getattr(Solution(), {name!r})\n"
        f"_result = _function(*{arguments})\n"
        "_result = list(_result) if isinstance(_result, tuple) else _result\n"
        f"assert any(_result == one for one in {expected})"
    )


def _is_executed(test: ScriptTest) -> bool:
    """Return whether executing a script runs its assertions: it calls them, or has them outside."""
    outside = []
    for node in statements(test.code):
        if isinstance(node, ast.ImportFrom) and node.module == "solution":
            return False
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            outside.append(node)
        elif node.name.lower().startswith("test"):
            return False
    asserts = any(isinstance(one, ast.Assert) for node in outside for one in ast.walk(node))
    return asserts or any(ast.unparse(node).startswith("check(") for node in outside)
