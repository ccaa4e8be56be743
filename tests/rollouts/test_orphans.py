"""No process that is watched outlives the one that watches it."""

import signal
import subprocess
import sys
import time

import pytest

from helpers.processes import alive, wait_for
from learnalign.rollouts.orphans import Watch


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_a_parent_that_is_killed(end):
    code = (
        "import subprocess, sys, time\n"
        "from learnalign.rollouts.orphans import Watch\n"
        "child = subprocess.Popen(['sleep', '100'])\n"
        "watch = Watch([child.pid])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.send_signal(end)
    parent.wait()
    parent.stdout.close()
    assert wait_for(lambda: not alive(pid), 30)


def test_a_stopped_watch_leaves_them_alone():
    child = subprocess.Popen(["sleep", "100"])
    watch = Watch([child.pid])
    watch.stop()
    time.sleep(0.3)
    assert child.poll() is None
    child.kill()
    child.wait()
