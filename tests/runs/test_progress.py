"""Progress: lines with rate and time left where there is no terminal, bars where there is one."""

import os
import pty
import subprocess
import sys

import pytest

from learnalign.runs import progress
from learnalign.runs.progress import Progress


def test_lines_say_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress("lines").stage("rollouts", total=100, done=20) as advance:
        for _ in range(4):
            now[0] += 6.0
            advance(12)
    lines = capsys.readouterr().err.splitlines()
    # Every ten seconds at most: after 12 s 24 of the 80 that were left are done, two a second.
    assert lines[0] == "rollouts: 44 of 100 problems, 2.0/s, about 28 s left"
    assert lines[1] == "rollouts: 68 of 100 problems, 2.0/s, about 16 s left"
    assert lines[-1] == "rollouts: 68 of 100 problems, 24.0 s"


def test_none_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("none").stage("rollouts", total=2) as advance:
        advance(2)
    Progress("none").say("hello")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


SCRIPT = """
from learnalign.runs.progress import Progress
shown = Progress()
with shown.stage("rollouts", total=3) as advance:
    advance(3)
print(shown.kind)
"""


def test_bars_on_a_terminal_and_lines_in_a_pipe() -> None:
    piped = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert piped.stdout.strip() == "lines"
    assert piped.stderr.startswith("rollouts: 3 of 3 problems")
    ours, theirs = pty.openpty()
    on_terminal = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert on_terminal.stdout.strip() == "bars"
    assert "3/3" in shown
    assert "left" in shown
