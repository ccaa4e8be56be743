"""No process outlives the one that started it: not a kill, a fork, a deaf or a hanging child."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.processes import alive, heed_signals, wait_for
from learnalign.process_guard import Child, isolated_python

#: A parent that starts a child with a grandchild, says their numbers, and does something else.
PARENT = """
import os, subprocess, sys, time
from learnalign.process_guard import Child, watch

CHILD = '''
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "100"]).pid, flush=True)
9 ** 9 ** 9 ** 9  # one call into C: no thread and no handler of this process runs any more
'''
child = Child([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
other = subprocess.Popen(["sleep", "100"])
watch(other.pid, grace_s=0.5)
print(child.pid, int(child.process.stdout.readline()), other.pid, flush=True)
"""


def start(rest: str, **options: Any) -> tuple[subprocess.Popen[str], list[int]]:
    command = [sys.executable, "-c", PARENT + rest]
    parent = subprocess.Popen(
        command, **{"stdout": subprocess.PIPE, "text": True, "preexec_fn": heed_signals, **options}
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    parent.stdout.close()
    assert len(pids) == 3
    return parent, pids


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_outlives_a_parent_that_is_killed(end: signal.Signals) -> None:
    parent, pids = start("time.sleep(100)")
    assert all(map(alive, pids))
    parent.send_signal(end)
    parent.wait()
    assert wait_for(lambda: not any(map(alive, pids)), 2)


@pytest.mark.parametrize(
    "rest",
    [
        "sys.exit(3)",
        "os._exit(3)",
        "raise KeyboardInterrupt",
        # A forked copy that lives on holds nothing that the watcher waits for.
        "if os.fork() == 0: time.sleep(5); os._exit(0)",
        # Nor does one that ends by itself end what is its parent's.
        "pid = os.fork()\nif pid == 0: sys.exit()\nos.waitpid(pid, 0); os.kill(child.pid, 0)",
    ],
)
def test_nothing_outlives_a_parent_that_ends(rest: str) -> None:
    parent, pids = start(rest, stderr=subprocess.DEVNULL)
    parent.wait()
    assert wait_for(lambda: not any(map(alive, pids)), 2)


def test_what_multiprocessing_starts_is_watched_from_its_start() -> None:
    code = """
import multiprocessing, time
from learnalign.process_guard import watching_new

context = multiprocessing.get_context("fork")
with watching_new(0.2) as seen:
    begun = context.Process(target=time.sleep, args=(100,))
    begun.start()
    print(begun.pid, flush=True)
    while seen != [begun.pid]:
        time.sleep(0.01)
    print("seen", flush=True)
    time.sleep(100)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, seen = int(parent.stdout.readline()), parent.stdout.readline()
    parent.stdout.close()
    parent.kill()
    parent.wait()
    assert seen == "seen\n"
    assert wait_for(lambda: not alive(pid), 2)


def test_where_all_signals_are_ignored_and_nothing_is_open() -> None:
    def prepare() -> None:
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.close(0)
        os.close(2)

    parent, pids = start("time.sleep(100)", preexec_fn=prepare)
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not any(map(alive, pids)), 2)


def test_the_end_of_a_child_is_that_of_its_group() -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '100']).pid, flush=True); input()"
    child = Child([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.process.stdout is not None
    grandchild = int(child.process.stdout.readline())
    assert child.end() == -signal.SIGKILL
    assert wait_for(lambda: not alive(grandchild), 2)
    assert child.end() == -signal.SIGKILL


def test_a_child_that_ended_keeps_its_code_and_its_grandchild_is_ended() -> None:
    code = "import subprocess, os; print(subprocess.Popen(['sleep', '100']).pid, flush=True)"
    child = Child([sys.executable, "-c", f"{code}; os._exit(7)"], stdout=subprocess.PIPE)
    assert child.process.stdout is not None
    grandchild = int(child.process.stdout.readline())
    assert wait_for(lambda: not alive(child.pid), 5)
    assert child.end() == 7
    assert wait_for(lambda: not alive(grandchild), 2)


def test_a_process_that_is_watched_no_longer_is_left_alone() -> None:
    code = (
        "import subprocess, sys\nfrom learnalign.process_guard import unwatch, watch\n"
        "child = subprocess.Popen(['sleep', '100'], stdout=-3, stderr=-3)\n"
        "watch(child.pid); unwatch(child.pid); print(child.pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    time.sleep(0.3)
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_another_watcher_takes_over_from_one_that_was_killed() -> None:
    rest = """
import signal
from learnalign import process_guard
os.kill(process_guard._watcher._process.pid, signal.SIGKILL)
process_guard._watcher._process.wait()
third = Child(["sleep", "100"])
print(third.pid, file=sys.stderr, flush=True)
time.sleep(100)
"""
    parent, pids = start(rest, stderr=subprocess.PIPE)
    assert parent.stderr is not None
    pids.append(int(parent.stderr.readline()))
    parent.stderr.close()
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not any(map(alive, pids)), 2)


def test_no_watcher_stays_where_there_is_nothing_to_watch() -> None:
    code = """
import subprocess
from learnalign.process_guard import unwatch, watch
from test_process_guard import children
child = subprocess.Popen(["sleep", "100"])
counts = [len(children())]
watch(child.pid)
counts.append(len(children()))
unwatch(child.pid)
counts.append(len(children()))
child.kill()
print(counts)
"""
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": here},
    )
    assert done.stdout == "[1, 2, 1]\n"


def test_python_that_others_start_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("print('foreign')")
    command = [sys.executable, "-c", "import json"]
    with isolated_python():
        safe = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    usual = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (safe.stdout, usual.stdout) == ("", "foreign\n")


def children() -> set[int]:
    """This process's children that run."""
    me = os.getpid()
    return {
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if alive(int(path.parent.name)) and _parent(path) == me
    }


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
