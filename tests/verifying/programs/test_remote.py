"""Programs on a server: a real HTTP server in this process, which runs them in the sandbox."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from helpers.sandboxes import needs_sandbox
from learnalign.config import VerifierConfig
from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.problems.suites.suite import (
    CallTest,
    InputTest,
    ScriptTest,
    Suite,
    UnreadableTestsError,
)
from learnalign.verifying.judging import judge
from learnalign.verifying.programs.limits import Limits
from learnalign.verifying.programs.remote import RemoteRunner
from learnalign.verifying.programs.request import program_request
from learnalign.verifying.programs.sandbox import Sandbox, SandboxError
from learnalign.verifying.programs.session import Session

KINDS = ("sandbox-fusion", "piston")


def execute(source: str, stdin: str, timeout_s: float) -> tuple[str, str, int, bool]:
    """Run a program in a local sandbox: output, errors, status, whether it timed out."""
    sandbox = Sandbox("bubblewrap", "program", memory_mb=512, timeout_s=timeout_s)
    session = Session(sandbox)
    try:
        session.send(["stdin", source])
        if session.receive(10)[0] != "loaded":
            return "", "SyntaxError", 1, False
        session.send(["input", stdin])
        _, printed, said, status, timed_out, _ = session.receive(timeout_s + 5)
        return printed, said, status, timed_out
    finally:
        session.end()
        sandbox.close()


class Handler(BaseHTTPRequestHandler):
    """Answers as SandboxFusion does, and as Piston."""

    bodies: list[str]
    failures: list[int]

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.bodies.append(text)
        if self.failures:
            self.send_response(self.failures.pop())
            self.end_headers()
            return
        body = json.loads(text)
        if self.path == "/run_code":
            assert body["language"] == "python"
            out, said, status, late = execute(body["code"], body["stdin"], body["run_timeout"])
            result: dict[str, Any] = {"stdout": out, "stderr": said, "return_code": status}
            result["status"] = "TimeLimitExceeded" if late else "Finished"
            done = "Success" if status == 0 and not late else "Failed"
            answer = {"status": done, "message": "", "run_result": result}
        else:
            assert self.path == "/api/v2/execute"
            source = body["files"][0]["content"]
            out, said, status, late = execute(source, body["stdin"], body["run_timeout"] / 1000)
            result = {"stdout": out, "stderr": said, "code": status, "signal": None}
            answer = {"language": "python", "run": result | ({"status": "TO"} if late else {})}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    Handler.bodies, Handler.failures = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def limits(kind: str, url: str) -> Limits:
    return Limits(sandbox=kind, url=url, timeout_s=2.0)


@needs_sandbox
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("suite", "right", "wrong"),
    [
        (Suite("t", (InputTest("2", "4"), InputTest("3", "6"))),
         "print(2 * int(input()))", "print(4)"),
        (Suite("t", (CallTest((2,), ((4, 4),)), CallTest((3,), ((6, 6),))), "f"),
         "def f(x):\n    print('hello')\n    return 2 * x, 2 * x", "def f(x): return 4, 4"),
        (Suite("t", (ScriptTest("assert f(2) == {4}"), ScriptTest("assert f(3) == {6}"))),
         "def f(x): return {2 * x}", "import os\nos._exit(0)"),
    ],
    ids=["inputs", "calls", "assertions"],
)  # fmt: skip
def test_programs_are_judged_by_what_comes_back(
    server: str, kind: str, suite: Suite, right: str, wrong: str
) -> None:
    with RemoteRunner(suite, limits(kind, server)) as runner:
        assert runner.run(right).failure is None
        outcome = runner.run(wrong)
    assert outcome.passed < 2
    assert outcome.failure
    assert not any("{6}" in body or "'6'" in body for body in Handler.bodies)


@needs_sandbox
@pytest.mark.parametrize("kind", KINDS)
def test_time_outs_and_exceptions(server: str, kind: str) -> None:
    suite = Suite("t", (InputTest("2", "4"),))
    with RemoteRunner(suite, limits(kind, server)) as runner:
        assert runner.run("while True: pass").timed_out
        assert "ValueError" in (runner.run("raise ValueError('x')").failure or "")


def test_a_script_is_refused() -> None:
    suite = Suite("t", (ScriptTest("def check(f):\n    assert f(1)\ncheck(g)"),))
    with pytest.raises(UnreadableTestsError, match="needs --sandbox bubblewrap"):
        RemoteRunner(suite, limits("piston", "http://localhost:1"))


@needs_sandbox
def test_an_overloaded_server_is_asked_again(server: str) -> None:
    Handler.failures = [503, 429]
    suite = Suite("t", (InputTest("2", "4"),))
    with RemoteRunner(suite, limits("sandbox-fusion", server)) as runner:
        assert runner.run("print(4)").passed == 1


def test_a_server_that_fails_is_no_wrong_answer(server: str) -> None:
    Handler.failures = [404] * 4
    suite = Suite("t", (InputTest("2", "4"),))
    with (
        RemoteRunner(suite, limits("piston", server)) as runner,
        pytest.raises(SandboxError, match="404"),
    ):
        runner.run("print(4)")
    Handler.failures = [404] * 4
    config = VerifierConfig(kind="program", sandbox="piston", sandbox_url=server, workers=1)
    table = judge(['{"inputs": ["2"], "outputs": ["4"]}'], ["```python\nprint(4)\n```"],
                  config=config)  # fmt: skip
    assert table["verdict"].to_pylist() == ["error"]
    assert table["reward"].to_pylist() == [None]


def test_options_that_do_not_fit() -> None:
    with pytest.raises(LearnAlignError, match="without a server"):
        load_config(sets=["verifier.sandbox=piston"])
    with pytest.raises(LearnAlignError, match="runs on this machine"):
        program_request(VerifierConfig(sandbox_url="http://localhost"))
