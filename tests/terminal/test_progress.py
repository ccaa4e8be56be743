"""Progress: lines with rate and time left where there is no terminal, bars where there is one."""

import os
import pty
import re
import subprocess
import sys

import pytest

from learnalign.terminal import progress
from learnalign.terminal.progress import Progress


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
    assert lines[-1] == "rollouts: 68 of 100 problems, 24 s"


def test_lines_of_long_work_say_hours_and_days(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress("lines").stage("gradients\x1b[2J", total=1000) as advance:
        now[0] += 20.0
        advance(0)  # nothing to go by yet
        now[0] += 1180.0
        advance(10)  # ten in twenty minutes
        now[0] += 118_800.0
        advance(990)
    assert capsys.readouterr().err.splitlines() == [
        "gradients\\x1b[2J: 0 of 1000 problems",
        "gradients\\x1b[2J: 10 of 1000 problems, 30.0/h, about 1 d 9 h left",
        "gradients\\x1b[2J: 1000 of 1000 problems, 30.0/h",
        "gradients\\x1b[2J: 1000 of 1000 problems, 1 d 9 h",
    ]


def test_what_is_quick_shows_no_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress("lines").late("verdicts", total=2) as advance:
        now[0] += 1.9
        advance(2)
    assert capsys.readouterr().err == ""
    with Progress("lines").late("verdicts", total=60) as advance:
        for _ in range(3):
            now[0] += 6.0
            advance(20)
    # It begins after six seconds, and counts what was done before.
    assert capsys.readouterr().err.splitlines() == [
        "verdicts: 60 of 60 problems, 3.3/s",
        "verdicts: 60 of 60 problems, 12 s",
    ]


def test_none_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("none").stage("rollouts", total=2) as advance:
        advance(2)
    Progress("none").log("hello")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


SCRIPT = """
from learnalign.terminal.progress import Progress
shown = Progress()
with shown.stage("[red]rollouts\\x1b]0;mine\\x07", total=3) as advance:
    advance(2)
print(shown.kind)
"""


def test_bars_on_a_terminal_and_lines_in_a_pipe() -> None:
    piped = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert piped.stdout.strip() == "lines"
    assert piped.stderr.startswith("[red]rollouts\\x1b]0;mine\\x07: 2 of 3 problems, ")
    ours, theirs = pty.openpty()
    on_terminal = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert on_terminal.stdout.strip() == "bars"
    assert "[red]rollouts\\x1b]0;mine\\x07" in shown
    assert "2/3" in shown
    assert re.search(r"problems, [\d.,]+/s, about 0\.0 s left, 0\.\d s", shown)
