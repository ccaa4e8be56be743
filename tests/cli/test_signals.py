"""The command line and the signals that end it: exit codes, words, and no worker left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers.processes import alive, heed_signals, wait_for

#: A verb whose worker hangs in one call into C, for longer than any test.
HANGS = r"""
import sys
from learnalign.cli import main
from learnalign.config import VerifierConfig
from learnalign.verifying.verifier import open_verifier

def verb(**options):
    asked = {"kind": "math", "golds": ["4"], "row": {}, "prompt": "", "messages": []}
    with open_verifier(VerifierConfig(timeout_s=600)) as verifier:
        with verifier.workers.borrowed() as worker:
            worker.judge(asked | {"completions": ["4"], "completion_ids": [[]]})
            print(worker._child.pid, flush=True)
            hang = r"\boxed{\binom{999999999}{499999999}}"
            worker.judge(asked | {"completions": [hang], "completion_ids": [[]]})

main.cli = verb
main.main()
"""


Start = Callable[[Callable[[], None]], tuple[subprocess.Popen[str], int]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the verb, and waits until its worker hangs."""
    with ExitStack() as stack:

        def started(prepare: Callable[[], None]) -> tuple[subprocess.Popen[str], int]:
            process = subprocess.Popen(
                [sys.executable, "-c", HANGS],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=prepare,
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            worker = int(process.stdout.readline())
            time.sleep(0.2)
            assert alive(worker)
            return process, worker

        yield started


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_run_and_its_workers(
    start: Start, number: signal.Signals, code: int
) -> None:
    process, worker = start(heed_signals)
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (code, "Interrupted. Run the same command to resume.\n")
    assert wait_for(lambda: not alive(worker), 2)


def test_what_the_shell_ignores_stays_ignored(start: Start) -> None:
    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    process, worker = start(ignore)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.kill()
    process.communicate(timeout=10)
    assert wait_for(lambda: not alive(worker), 2)


@pytest.mark.parametrize("folder", ["", "gone"])
def test_the_command_imports_nothing_from_the_current_folder(folder: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("numpy", "pyarrow", "yaml", "click", "learnalign", "sympy"):
        (here / f"{name}.py").write_text(f"print('{name} of the current folder')")
    program = Path(sys.executable).with_name("learnalign")
    leave = f"import os, shutil; shutil.rmtree({str(here)!r})\n" if folder else ""
    code = f"{leave}import os; os.execv({str(program)!r}, ['learnalign', 'select', '--help'])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=here, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "current folder" not in done.stdout + done.stderr
    assert "--verifier" in done.stdout
    assert os.getcwd()
