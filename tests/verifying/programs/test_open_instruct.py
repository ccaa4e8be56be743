"""open-instruct's code API: a real HTTP server in this process that does what its source does."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from learnalign.config import VerifierConfig
from learnalign.problems.suites.suite import (
    CallTest,
    InputTest,
    ScriptTest,
    Suite,
    UnreadableTestsError,
)
from learnalign.verifying.judging import judge
from learnalign.verifying.programs.limits import Limits
from learnalign.verifying.programs.open_instruct import OpenInstructRunner
from learnalign.verifying.programs.sandbox import SandboxError

#: A new namespace, in which the program is executed and then the test, as in code_utils.py.
EXECUTE = (
    "import json, sys\nprogram, test = json.load(sys.stdin)\nspace = {}\n"
    "exec(program, space)\nexec(test, space)\nprint('passed')"
)


class Handler(BaseHTTPRequestHandler):
    """Answers as `open_instruct/code_utils/api.py`: 1 for a test that passes, else 0."""

    requests: list[dict[str, Any]]
    fails = False

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append(request)
        if self.fails:
            self.send_error(404)
            return
        passes = {"/test_program": self.executes, "/test_program_stdio": self.prints}[self.path]
        limit_s = request.get("max_execution_time", 1.0)
        found = []
        for test in request["tests"]:
            refused = "import os" in request["program"]  # should_execute
            try:
                found.append(int(not refused and passes(request["program"], test, limit_s)))
            except subprocess.TimeoutExpired:
                found.append(0)
        self.send_response(200)
        self.end_headers()
        answer = {"results": found, "runtimes": [0.1 if one else -1.0 for one in found]}
        self.wfile.write(json.dumps(answer).encode())

    @staticmethod
    def executes(program: str, test: str, limit_s: float) -> bool:
        given = json.dumps([program, test])
        done = subprocess.run([sys.executable, "-Ic", EXECUTE], input=given, text=True,
                              capture_output=True, timeout=limit_s)  # fmt: skip
        return done.stdout.endswith("passed\n")

    @staticmethod
    def prints(program: str, test: dict[str, str], limit_s: float) -> bool:
        done = subprocess.run([sys.executable, "-Ic", program], input=test["input"], text=True,
                              capture_output=True, timeout=limit_s)  # fmt: skip
        return done.stdout.split() == test["output"].split()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests, Handler.fails = [], False
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def limits(url: str, timeout_s: float = 5.0) -> Limits:
    return Limits(sandbox="open-instruct", url=url, timeout_s=timeout_s)


ASSERTS = (ScriptTest("assert f(2) == 4"), ScriptTest("assert f(3) == 6"))
CHECK = "def check(candidate):\n    assert candidate(2) == 4\ncheck(f)"
DOUBLE = "def f(x): return 2 * x"


@pytest.mark.parametrize(
    ("suite", "right", "wrong", "passed"),
    [
        (Suite("t", ASSERTS), DOUBLE, "def f(x): return 4", 1),
        (Suite("t", (ScriptTest(CHECK),)), DOUBLE, "def f(x): return x", 0),
        (Suite("t", (InputTest("2", "4"), InputTest("3", "6"))), "print(2 * int(input()))",
         "print(6)", 1),
        (Suite("t", (CallTest((2,), ([4, 4],)), CallTest((3,), ([6, 6],))), "f"),
         "def f(x): return 2 * x, 2 * x", "def f(x): return [4, 4]", 1),
        (Suite("t", (CallTest((2,), (4,)),), "f"),
         "class Solution:\n    def f(self, x): return 2 * x", "class Solution: pass", 0),
        (Suite("t", (*ASSERTS, InputTest("", ""))), DOUBLE, "def f(x): raise SystemExit", 1),
    ],
    ids=["assertions", "check", "inputs", "calls", "methods", "both"],
)  # fmt: skip
def test_the_server_says_what_passes(
    server: str, suite: Suite, right: str, wrong: str, passed: int
) -> None:
    with OpenInstructRunner(suite, limits(f"{server}/test_program")) as runner:
        assert runner.run(right).passed == len(suite.tests)
        outcome = runner.run(wrong)
    assert (outcome.passed, outcome.passed + outcome.failed) == (passed, len(suite.tests))
    assert not outcome.timed_out


def test_a_late_answer_is_tried_again_alone(server: str) -> None:
    with OpenInstructRunner(Suite("t", ASSERTS[:1]), limits(server, 0.5)) as runner:
        outcome = runner.run("def f(x):\n    while True: pass")
    assert outcome.timed_out
    assert outcome.under_load
    config = VerifierConfig(kind="program", sandbox="open-instruct", sandbox_url=server,
                            test_timeout_s=0.5, workers=1)  # fmt: skip
    Handler.requests.clear()
    table = judge(['["assert f(2) == 4"]'], ["```python\ndef f(x):\n    while True: pass\n```"],
                  config=config)  # fmt: skip
    assert table["verdict"].to_pylist() == ["timed_out"]
    assert table["reward"].to_pylist() == [0.0]
    assert len(Handler.requests) == 2


def test_what_the_server_would_not_run_or_answer_is_no_wrong_answer(server: str) -> None:
    with OpenInstructRunner(Suite("t", ASSERTS), limits(server)) as runner:
        with pytest.raises(SandboxError, match="'import os'"):
            runner.run(f"import os\n{DOUBLE}")
        Handler.fails = True
        with pytest.raises(SandboxError, match="404"):
            runner.run(DOUBLE)


@pytest.mark.parametrize(
    "code",
    [
        "def test_f():\n    assert f(2) == 5",
        "import unittest\nclass TestF(unittest.TestCase):\n    def test(self): assert f(2) == 5",
        "def check(candidate):\n    assert candidate(2) == 5",
        "from solution import f\nassert f(2) == 4",
    ],
)
def test_scripts_that_would_test_nothing_are_refused(code: str) -> None:
    with pytest.raises(UnreadableTestsError, match="--sandbox bubblewrap"):
        OpenInstructRunner(Suite("t", (ScriptTest(code),)), limits("http://localhost:1"))


def test_calls_that_have_no_literal_are_refused() -> None:
    for test in (CallTest((float("inf"),), (1,)), CallTest((1,), ())):
        with pytest.raises(UnreadableTestsError, match="need"):
            OpenInstructRunner(Suite("t", (test,), "f"), limits("http://localhost:1"))
