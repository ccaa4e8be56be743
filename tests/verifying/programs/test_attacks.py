"""Programs that attack the machine or the tests: none passes, none escapes, nothing is left."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.sandboxes import needs_sandbox
from learnalign.problems.suites.suite import CallTest, InputTest, ScriptTest, Suite
from learnalign.verifying.programs.limits import Limits
from learnalign.verifying.programs.outcome import Outcome
from learnalign.verifying.programs.running import Runner

pytestmark = needs_sandbox

MARK = "learnalign_attack_marker"
LIMITS = Limits(timeout_s=1.0, memory_mb=256)
ASSERTS = Suite(
    "test", (ScriptTest("assert solve(3) == 417"), ScriptTest("assert solve(4) == 418")), "solve"
)
CALLS = Suite("test", (CallTest((3,), (417,)), CallTest((4,), (418,))), "solve")
NEVER = Suite("test", (InputTest("", "never"),))
INPUTS = Suite("test", (InputTest("3", "417"), InputTest("4", "418")))
HONEST = """
def solve(x):
    return x + 414
if __name__ == '__main__':
    print(solve(int(input())))
"""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5.0
    while (left := _marked()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _marked() -> list[str]:
    """List the processes on this machine that an attack has started."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    return [line for line in listing.splitlines() if MARK in line and "ps -eo" not in line]


#: Attacks share the sandboxes of their tests, as the programs of a problem do.
RUNNERS: dict[tuple[int, Limits], Runner] = {}


@pytest.fixture(autouse=True, scope="module")
def runners_end() -> Iterator[None]:
    yield
    while RUNNERS:
        RUNNERS.popitem()[1].close()


def run(suite: Suite, program: str, limits: Limits = LIMITS) -> Outcome:
    key = (id(suite), limits)
    if key not in RUNNERS:
        RUNNERS[key] = Runner(suite, limits)
    return RUNNERS[key].run(program)


@pytest.mark.parametrize("suite", [ASSERTS, CALLS, INPUTS], ids=["asserts", "calls", "inputs"])
def test_an_honest_program_passes(suite: Suite) -> None:
    outcome = run(suite, HONEST)
    assert (outcome.passed, outcome.failure) == (2, None)


#: Each does its work when it is loaded, called, or run, and tries to pass by it.
CHEATS = {
    "exit before the tests": "import os\nos._exit(0)",
    "exit in the call": "import os\ndef solve(x): os._exit(0)",
    "sys.exit": "import sys\nsys.exit(0)",
    "sys.exit in the call": "import sys\ndef solve(x): sys.exit(0)",
    "always equal": """
class Equal(int):
    __eq__ = __le__ = __ge__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __hash__ = int.__hash__
    __sub__ = __rsub__ = lambda self, other: 0
def solve(x): return Equal(1)
""",
    "an object that is always equal": """
class Equal:
    __eq__ = __contains__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __sub__ = __rsub__ = lambda self, other: 0
def solve(x): return Equal()
""",
    "patched assert": """
import builtins, sys
class Quiet(BaseException):
    pass
builtins.AssertionError = Quiet
sys.excepthook = lambda *a: None
def solve(x): return None
""",
    "patched unittest and exit": """
import os, sys, unittest
unittest.TestCase.assertEqual = lambda *a: None
sys.exit = os._exit = lambda *a: None
def solve(x): return None
""",
    "raises what tests raise": "def solve(x):\n    raise SystemExit(0)",
    "skips the tests": "import unittest\ndef solve(x):\n    raise unittest.SkipTest",
    "stops iterations": "def solve(x):\n    raise StopIteration",
    "writes to all descriptors": r"""
import os
def solve(x):
    for number in range(3, 64):
        for line in (b'["done", null]\n', b'["value", 9, []]\n["done", null]\n'):
            try:
                os.write(number, line)
            except OSError:
                pass
    os._exit(0)
""",
    "answers with a foreign message": r"""
import os
def solve(x):
    for number in range(3, 64):
        try:
            os.write(number, b'["done", null]\n')
        except OSError:
            pass
    return None
""",
    "searches its memory": """
import gc, sys
def solve(x):
    for thing in gc.get_objects():
        try:
            for word in (thing.values() if isinstance(thing, dict) else thing):
                if isinstance(word, int) and word in (417, 418) and not isinstance(word, bool):
                    return word if word == x + 400 + 14 else None
        except Exception:
            pass
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if 'assert' in repr(value)[:10_000] and '41' in repr(value)[:10_000]:
                return 400 + 14 + x
        frame = frame.f_back
""",
    "searches the disk": """
import glob
def solve(x):
    for path in glob.glob('/tmp/**', recursive=True) + glob.glob('/sandbox/**', recursive=True):
        try:
            if '417' in open(path).read():
                return x + 400 + 14
        except OSError:
            pass
""",
    "searches the processes": """
import glob
def solve(x):
    for path in glob.glob('/proc/[0-9]*/cmdline') + glob.glob('/proc/[0-9]*/environ'):
        try:
            if b'417' in open(path, 'rb').read():
                return x + 400 + 14
        except OSError:
            pass
""",
    "calls back into the tests": r"""
import json, os
def solve(x):
    for number in range(3, 64):
        try:
            os.write(number, json.dumps(["get", 0, "__globals__"]).encode() + b"\n")
        except OSError:
            pass
    return None
""",
}


@pytest.mark.parametrize("suite", [ASSERTS, CALLS, INPUTS], ids=["asserts", "calls", "inputs"])
@pytest.mark.parametrize("cheat", CHEATS)
def test_cheats_do_not_pass(suite: Suite, cheat: str) -> None:
    program = CHEATS[cheat] + "\nif __name__ == '__main__':\n    solve(3)\n"
    outcome = run(suite, program)
    assert outcome.passed == 0
    assert outcome.failure


def test_printing_the_expected_output_needs_knowing_it() -> None:
    """The tests' file, its asserts and the outputs are nowhere in the program's sandbox."""
    program = "print(open('/proc/self/environ').read())\nimport sys\nprint(sys.argv)\nprint(417)\n"
    assert run(INPUTS, program).passed == 0


def test_the_programs_sandbox_never_receives_what_is_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that is sent to a program is recorded: neither 417 nor 418 is in it."""
    from learnalign.verifying.programs.session import Session

    sent: list[bytes] = []
    original = Session.send

    def send(self: Session, message: object) -> None:
        if self.sandbox.module == "program":
            sent.append(repr(message).encode())
        original(self, message)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "send", send)
    for suite in (ASSERTS, CALLS, INPUTS):
        assert run(suite, HONEST).passed == 2
    assert sent
    assert not [line for line in sent if b"417" in line or b"418" in line]


def body(code: str) -> str:
    """Return a program that runs code when it is called, and prints or returns what it finds."""
    lines = "\n".join(f"    {line}" for line in code.strip().splitlines())
    return f"def solve(x):\n{lines}\nif __name__ == '__main__':\n    print(solve(0))\n"


def found(code: str, limits: Limits = LIMITS) -> str:
    """Run code in a sandbox and return what its test reports that it has printed."""
    outcome = run(NEVER, body(code), limits)
    assert outcome.passed == 0
    return outcome.failure or ""


def test_a_fork_bomb_ends_with_its_sandbox() -> None:
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    before = time.monotonic()
    assert "no result within" in (said := found(bomb)) or "used more than" in said
    assert time.monotonic() - before < 20


def test_processes_are_limited() -> None:
    code = f"""
import os, time
count = 0
try:
    while count < 500:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        count += 1
except OSError:
    pass
return "{MARK}", count < 70
"""
    assert "True" in found(code, Limits(timeout_s=5.0, memory_mb=2048))


def test_ten_gigabytes_of_memory() -> None:
    assert "MemoryError" in found("return len(bytearray(10 * 2**30))")


def test_ten_gigabytes_of_memory_by_several_processes() -> None:
    code = """
import os, time
for _ in range(40):
    if os.fork() == 0:
        block = bytearray(100 * 2**20)
        block[::4096] = b'x' * len(block[::4096])
        time.sleep(30)
time.sleep(30)
"""
    outcome = run(NEVER, body(code), Limits(timeout_s=10.0, memory_mb=256))
    assert "used more than 256 MiB" in (outcome.failure or "")


def test_ten_gigabytes_of_output() -> None:
    assert "File too large" in found("while True:\n    print('x' * 2**20)")


def test_ten_gigabytes_of_files_and_shared_memory() -> None:
    code = """
import os
written = []
for folder in ('/tmp', '/dev/shm', '/', '/dev', '/var/tmp'):
    total = 0
    try:
        for i in range(2000):
            with open(f'{folder}/f{i}', 'wb') as file:
                file.write(b'x' * 8 * 2**20)
            total += 8
    except OSError:
        pass
    written.append(total)
    for i in range(2000):
        try:
            os.remove(f'{folder}/f{i}')
        except OSError:
            break
return "written", written
"""
    said = found(code, Limits(timeout_s=10.0))
    assert "('written', [" in said
    assert all(int(n) <= 64 for n in said.partition("[")[2].partition("]")[0].split(","))


def test_output_that_is_no_message_is_limited() -> None:
    """An answer of any length, on whatever descriptor, does not fill this process's memory."""
    code = """
import os
while True:
    for number in range(3, 10):
        try:
            os.write(number, b'x' * 65536)
        except OSError:
            pass
"""
    outcome = run(CALLS, body(code), Limits(timeout_s=5.0))
    assert outcome.passed == 0


def test_an_endless_loop_times_out() -> None:
    for suite in (ASSERTS, CALLS, INPUTS):
        outcome = run(suite, body("while True: pass"))
        assert (outcome.passed, outcome.timed_out) == (0, True)


def test_a_program_that_waits_may_have_waited_for_its_turn() -> None:
    outcome = run(CALLS, body("import time\ntime.sleep(30)"))
    assert (outcome.timed_out, outcome.under_load) == (True, True)


def test_a_sleeping_child_does_not_outlive() -> None:
    code = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    os.execvp(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', '{MARK}'])
return 417
"""
    for suite in (ASSERTS, CALLS, INPUTS):
        run(suite, body(code))


def test_home_and_other_files_cannot_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    paths = [str(secret), str(Path.home()), "/root", "/home", "/etc/passwd", "/etc/shadow", "/sys"]
    paths += ["/proc/1/root/etc", "/proc/1/root/root", os.getcwd(), "/var", "/run", "/mnt"]
    code = f"""
import os
seen = []
for path in {paths!r}:
    for look in (os.listdir, lambda p: open(p).read() and 1/0):
        try:
            look(path)
            seen.append(path)
        except (OSError, ValueError):
            pass
        except ZeroDivisionError:
            seen.append(path)
return "seen", seen
"""
    assert "('seen', [])" in found(code)


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the program's process nor bubblewrap's, which it can look at, has our variables."""
    monkeypatch.setenv("SECRET_KEY", "sk-secret")
    code = """
import glob
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        if b'SECRET' in open(path, 'rb').read():
            return 'seen'
    except OSError:
        pass
return 'empty'
"""
    assert "empty" in found(code)


def test_processes_of_others_are_invisible() -> None:
    code = """
import os
names = []
for entry in os.listdir('/proc'):
    if entry.isdigit() and entry != "1":
        names.append(open(f'/proc/{entry}/comm').read().strip())
return "processes", len(names), sorted(set(names))
"""
    said = found(code)
    assert "('processes', " in said
    assert int(said.partition("('processes', ")[2].partition(",")[0]) <= 4


def test_nothing_can_be_written_outside() -> None:
    places = ["/", "/usr/bin", "/lib", "/etc", "/python/bin", "/packages/0", "/sandbox/inside"]
    places += ["/proc/sys/kernel", "/proc/self", "/dev", "/sys", "/root", "/home", "/var/tmp"]
    code = f"""
import os
written = []
for folder in {places!r}:
    try:
        open(folder + '/x', 'w').write('x')
        written.append(folder)
    except OSError:
        pass
for file in ('/proc/sys/vm/overcommit_memory', '/proc/sysrq-trigger', '/proc/self/oom_score_adj',
             '/proc/self/uid_map', '/sandbox/inside/program.py', '/usr/bin/env'):
    try:
        with open(file, 'r+') as f:
            f.write('-1000' if 'oom' in file else '1')
        written.append(file)
    except OSError:
        pass
return "written", written
"""
    assert "('written', [])" in found(code)


def test_symlinks_do_not_lead_out(tmp_path: Path) -> None:
    target = tmp_path / "target"
    code = f"""
import os
os.symlink({str(target)!r}, '/tmp/link')
os.symlink('/proc/1/root', '/tmp/root')
reached = []
for path in ('/tmp/link', '/tmp/root{tmp_path}/target', '/proc/self/root{tmp_path}/target'):
    try:
        open(path, 'w').write('x')
        reached.append(path)
    except OSError:
        pass
return "reached", reached
"""
    assert "('reached', [])" in found(code)
    assert not target.exists()


def test_there_is_no_network() -> None:
    code = """
import socket
opened = []
for family in ('AF_INET', 'AF_INET6', 'AF_NETLINK', 'AF_PACKET', 'AF_VSOCK', 'AF_ALG'):
    try:
        s = socket.socket(getattr(socket, family), socket.SOCK_STREAM if 'INET' in family or 'VSOCK'
                          in family else socket.SOCK_SEQPACKET if family == 'AF_ALG'
                          else socket.SOCK_RAW)
        s.settimeout(0.2)
        if 'INET' in family:
            s.connect(('127.0.0.1' if family == 'AF_INET' else '::1', 22))
        opened.append(family)
    except OSError:
        pass
return "opened", opened
"""
    assert "('opened', [])" in found(code)


def test_a_listening_server_of_this_machine_is_out_of_reach() -> None:
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 0.5)\nreturn 'in'"
        assert "Error" in found(code)


def test_ptrace_and_namespaces_are_refused() -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
allowed = []
for name, arguments in {
    'ptrace': (16, os.getppid(), 0, 0),
    'unshare': (0x10000000,),
    'mount': (b'none', b'/tmp', b'tmpfs', 0, None),
    'chroot': (b'/tmp',),
    'setuid': (0,),
    'process_vm_readv': (os.getppid(), None, 0, None, 0, 0),
}.items():
    if getattr(libc, name)(*arguments) == 0 and name != 'process_vm_readv':
        allowed.append(name)
return "allowed", allowed, os.getuid()
"""
    assert "('allowed', [], 65534)" in found(code)


def test_signals_do_not_reach_this_process() -> None:
    code = f"""
import os, signal
for pid in [1, os.getppid(), {os.getpid()}, {os.getppid()}, -1]:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
return 0
"""
    for suite in (ASSERTS, CALLS, INPUTS):
        assert run(suite, body(code)).passed == 0


def test_a_later_test_does_not_find_what_an_earlier_one_left() -> None:
    """Programs of a problem share a sandbox of tests; none sees what another did to its values."""
    suite = Suite("test", (ScriptTest("data = [1]\nsolve(data)\nassert data == [1, 2]"),), "solve")
    with Runner(suite, LIMITS) as runner:
        good, bad = "def solve(d): d.append(2)", "def solve(d): d.clear()"
        passed = [runner.run(program).passed for program in (good, bad, good, bad)]
    assert passed == [1, 0, 1, 0]


#: What a program may leave behind for the next program of its problem, which shares its sandbox.
LEAVINGS = {
    "files": "open('/tmp/left', 'w').write('x'); open('/dev/shm/left', 'w').write('x')",
    "closed folders": "os.makedirs('/tmp/a/b/c'); os.chmod('/tmp/a/b', 0); os.chmod('/tmp/a', 0)",
    "children": "os.fork() or time.sleep(60)",
    "a daemon that forks": """
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
    "limits of the fork server": """
server = os.getppid()
for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):
    try:
        resource.prlimit(server, kind, (1, 1))
    except OSError:
        pass
""",
    "memory of the fork server": """
server = os.getppid()
for name in ('mem', 'oom_score_adj', 'timerslack_ns', 'comm', 'coredump_filter'):
    try:
        with open(f'/proc/{server}/{name}', 'r+b') as file:
            file.write(b'0')
        written.append(name)
    except OSError:
        pass
for name in ('maps', 'fd', 'environ', 'mem'):
    try:
        os.listdir(f'/proc/{server}/{name}') if name == 'fd' else open(f'/proc/{server}/{name}')
        written.append(name)
    except OSError:
        pass
assert not written
""",
    "a stopped fork server": "os.kill(os.getppid(), signal.SIGSTOP)",
    "a dead fork server": "os.kill(os.getppid(), signal.SIGKILL)",
    "the end of everything": "os.kill(-1, signal.SIGKILL)",
    "priorities": """
for kind, who in ((os.PRIO_USER, 0), (os.PRIO_PROCESS, os.getppid())):
    try:
        os.setpriority(kind, who, 19)
    except OSError:
        pass
try:
    os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0))
except OSError:
    pass
""",
    "messages": """
for number in range(0, 128):
    try:
        os.write(number, b'["value", 9, []]\\n0')
    except OSError:
        pass
""",
    "permissions of the folders": "os.chmod('/tmp', 0o555); os.chmod('/dev/shm', 0o555)",
    "closed private folders": "os.chmod('/tmp', 0)",
    "attributes of the folders": "os.setxattr('/tmp', 'user.a', b'1'); os.utime('/tmp', (7, 7))",
    "memory of bubblewrap's process": """
try:
    open('/proc/1/mem', 'r+b')
    written.append('mem')
except OSError:
    pass
assert not written
""",
    "patched modules": "import builtins, json; json.dumps = builtins.len = builtins.open = None",
}


@pytest.mark.parametrize("leaving", LEAVINGS)
def test_a_program_leaves_nothing_for_the_next(leaving: str) -> None:
    """The next program finds an empty sandbox, and an honest one passes after any other."""
    indented = "\n".join(f"    {line}" for line in LEAVINGS[leaving].strip().splitlines())
    leaves = (
        f"import os, resource, signal, time\nwritten = []\ndef solve(x):\n{indented}\n    return 1"
    )
    looks = """
import os
def solve(x):
    others = [p for p in os.listdir('/proc') if p.isdigit() and int(p) not in
              (1, os.getpid(), os.getppid())]
    state = [os.access('/tmp', os.W_OK), os.access('/dev/shm', os.W_OK)]
    state += [os.stat('/tmp').st_mtime == 7, os.listxattr('/tmp'), os.getpriority(0, 0)]
    return os.listdir('/tmp'), os.listdir('/dev/shm'), others, state
"""
    suite = Suite("test", (CallTest((3,), (417,)),), "solve")
    clean = Suite("test", (CallTest((3,), (([], [], [], [True, True, False, [], 0]),)),), "solve")
    with Runner(suite, LIMITS) as runner:
        first = runner.run(leaves)
        assert first.passed == 0
        assert "AssertionError" not in (first.failure or "")
        runner.suite = clean
        outcome = runner.run(looks)
        assert outcome.failure is None
        runner.suite = suite
        assert runner.run(HONEST).passed == 1


def test_random_numbers_do_not_depend_on_the_programs_before() -> None:
    program = "import random\ndef solve(x):\n    return random.random()"
    suite = Suite("test", (CallTest((3,), (417,)),), "solve")
    with Runner(suite, LIMITS) as runner:
        failures = {runner.run(program).failure for _ in range(3)}
    assert len(failures) == 1
