"""Calling ``learnalign`` as a user does: in this process, or as a program of its own."""

import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

#: The program, as a process of its own.
PROGRAM = [sys.executable, "-c", "from learnalign.cli.main import main; main()"]


class Called(NamedTuple):
    """What a call came to."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: str | Path, cwd: Path | None = None) -> Called:
    """Call the command line in this process.

    What a process of its own adds (its start, signals, memory) is left to the tests of faults.
    """
    from learnalign.cli.main import main

    out, err, here = StringIO(), StringIO(), Path.cwd()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    code = 0
    with (
        mock.patch.object(sys, "argv", ["learnalign", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            os.chdir(cwd or here)
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            os.chdir(here)
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Called(code, out.getvalue(), err.getvalue())


def call_program(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Call the command line in a process of its own."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=250, **options
    )
