"""Workers against what may surround them: odd parents, foreign files, threads, forks, limits."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from helpers.hang import HANG
from helpers.processes import alive, heed_signals, interrupted_after, wait_for
from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError
from learnalign.verifying import rewards
from learnalign.verifying.processes import ProcessClosedError, WorkerProcess
from learnalign.verifying.verifier import Verifier, open_verifier

BOXED_HANG = rf"\boxed{{{HANG}}}"


def request(kind: str, gold: str, *completions: str) -> dict[str, Any]:
    ids: list[list[int]] = [[]] * len(completions)
    return {"kind": kind, "golds": [gold], "row": {}, "prompt": "", "messages": []} | {
        "completions": list(completions),
        "completion_ids": ids,
    }


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    made = WorkerProcess(5.0, 2048)
    yield made
    made.close()


# --- what surrounds the parent

#: A parent that judges three problems and says what came out.
JUDGES = """
import sys
from learnalign.verifying.processes import WorkerProcess
worker = WorkerProcess(2.0, 2048)
asked = {"kind": sys.argv[1], "golds": ["4"], "row": {}, "prompt": "", "messages": []}
asked |= {"completions": ["4", "5", "It is \\\\boxed{4}"], "completion_ids": [[], [], []]}
said = " ".join(str(judgement.reward) for judgement in worker.judge(asked))
worker.close()
with open(sys.argv[2], "w") as file:
    file.write(said)
"""
NAMES = ("json", "re", "random", "select", "sympy", "math_verify", "learnalign", "resource")


def judges(kind: str, out: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    # As a console script starts: the folder of the program is on the path, the current one is not.
    program = out.with_name("program")
    program.mkdir(exist_ok=True)
    (program / "judges.py").write_text(JUDGES)
    command = [sys.executable, str(program / "judges.py"), kind, str(out)]
    return subprocess.run(command, timeout=60, **options)


@pytest.mark.parametrize("kind", ["math", "number"])
def test_nothing_of_the_current_folder_runs(kind: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in NAMES:
        (here / f"{name}.py").write_text(f"open('{name} ran', 'w')")
    judges(kind, tmp_path / "said", cwd=here, check=True)
    assert (tmp_path / "said").read_text() == "1.0 0.0 1.0"
    assert sorted(path.name for path in here.iterdir()) == sorted(f"{name}.py" for name in NAMES)


def test_a_function_comes_from_the_current_folder_last(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in NAMES:
        (here / f"{name}.py").write_text(f"open('{name} ran', 'w')")
    (here / "mine.py").write_text(
        "import json, re, random\n"
        "def f(completions, **_): return [float(len(json.dumps(text))) for text in completions]"
    )
    judges("mine:f", tmp_path / "said", cwd=here, check=True)
    assert (tmp_path / "said").read_text().startswith("3.0 3.0")
    assert not list(here.glob("* ran"))


def test_what_else_is_on_the_parents_path_stands_in_for_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: WorkerProcess
) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert worker.judge(request("math", "4", "4"))[0].reward == 1.0


def test_python_settings_of_the_environment_reach_no_verifier(tmp_path: Path) -> None:
    home = str(Path(sys.modules["learnalign"].__file__ or "").parent.parent)
    (tmp_path / "sitecustomize.py").write_text("open('customised', 'a').write('x')")
    environment = os.environ | {"PYTHONPATH": f"{home}{os.pathsep}{tmp_path}"}
    judges("number", tmp_path / "said", cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "customised").read_text() == "x"  # the parent's, which the user started so


def test_a_package_in_an_archive_finds_itself(tmp_path: Path) -> None:
    source = Path(sys.modules["learnalign"].__file__ or "").parent
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", source.parent, source.name)
    path = f"import sys; sys.path.insert(0, {archive!r})\n"
    where = "import learnalign; assert '.zip' in learnalign.__file__\n"
    command = [sys.executable, "-I", "-c", path + where + JUDGES, "number", str(tmp_path / "said")]
    subprocess.run(command, cwd=tmp_path, timeout=60, check=True)
    assert (tmp_path / "said").read_text() == "1.0 0.0 1.0"


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1), (0, 1, 2)])
def test_a_parent_without_standard_streams(closed: tuple[int, ...], tmp_path: Path) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    judges("number", tmp_path / "said", preexec_fn=close, check=True)
    assert (tmp_path / "said").read_text() == "1.0 0.0 1.0"


def test_a_parent_that_ignores_signals(tmp_path: Path) -> None:
    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})

    judges("number", tmp_path / "said", preexec_fn=ignore, check=True)
    assert (tmp_path / "said").read_text() == "1.0 0.0 1.0"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_in_one_long_call_ends_with_its_parent(end: signal.Signals) -> None:
    code = """
import signal, sys
from concurrent.futures import ThreadPoolExecutor
from learnalign.verifying.processes import WorkerProcess
signal.signal(signal.SIGINT, signal.default_int_handler)
worker = WorkerProcess(600.0)
asked = {"kind": "math", "golds": ["4"], "row": {}, "prompt": "", "messages": []}
asked |= {"completions": ["4"], "completion_ids": [[]]}
# Started by a thread that is gone when the parent ends.
ThreadPoolExecutor(1).submit(worker.judge, asked).result()
print(worker._child.pid, flush=True)
asked["completions"] = [sys.argv[1]]
worker.judge(asked)
"""
    command = [sys.executable, "-c", code, BOXED_HANG]
    parent = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=heed_signals,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.stdout.close()
    time.sleep(0.3)
    assert alive(pid)
    parent.send_signal(end)
    parent.wait()
    assert wait_for(lambda: not alive(pid), 2)


# --- what the system allows


def with_files(limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def test_too_many_workers_for_the_limit_on_open_files(tmp_path: Path) -> None:
    code = """
import sys, pyarrow as pa
from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError
from learnalign.tables import PROBLEMS, ROLLOUTS
from learnalign.verifying.verifier import open_verifier

names = [str(number) for number in range(40)]
problems = [{"problem_id": name, "answer": name, "row": "{}"} for name in names]
rollouts = [row | {"sample": 0, "completion": "4", "token_ids": []} for row in problems]
tables = pa.Table.from_pylist(problems, PROBLEMS), pa.Table.from_pylist(rollouts, ROLLOUTS)
try:
    with open_verifier(VerifierConfig(kind="number", workers=20)) as verifier:
        verifier.verify(*tables)
except LearnAlignError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=with_files(40),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    for words in ("Too many open files", "(ulimit -n) is 40", "--set verifier.workers=N"):
        assert words in done.stdout


def test_descriptors_beyond_what_select_knows(worker: WorkerProcess) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("this machine allows fewer open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
    held = []
    try:
        while not held or held[-1] < 1100:
            held.append(os.dup(0))
        assert worker.judge(request("number", "4", "4"))[0].reward == 1.0
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_memory_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "def f(completions, **_): return [len(bytearray(300_000_000)) / 300_000_000]"
    (tmp_path / "takes_much.py").write_text(code)
    for limit, reward in ((200, None), (600, 1.0), (None, 1.0)):
        small = WorkerProcess(5.0, limit)
        found = small.judge(request("takes_much:f", "1", "a"))[0]
        small.close()
        assert found.reward == reward
        assert (found.detail is None) == (reward is not None)
        assert reward is not None or "MemoryError" in str(found.detail)


def test_a_limit_that_lets_no_verifier_live_is_told() -> None:
    small = WorkerProcess(5.0, 30)
    with pytest.raises(LearnAlignError, match="verifier 'math'"):
        small.judge(request("math", "4", "4"))
    small.close()


# --- who uses a worker


def test_answers_are_those_of_their_requests_whatever_hangs_between(worker: WorkerProcess) -> None:
    worker.timeout_s = 0.5
    for number in range(3):
        hang = number == 1
        said = [str(number), BOXED_HANG, str(number + 1)] if hang else [str(number)]
        found = [
            judgement.verdict for judgement in worker.judge(request("math", str(number), *said))
        ]
        assert found == (["correct", "timed_out", "wrong"] if hang else ["correct"])


def test_an_interrupt_leaves_no_answer_for_the_next_request(worker: WorkerProcess) -> None:
    """Ctrl-C in the middle of a request, and the worker is used again, as in a notebook."""
    assert worker.judge(request("math", "4", "4"))[0].verdict == "correct"
    with interrupted_after(0.2), pytest.raises(KeyboardInterrupt):
        worker.judge(request("math", "4", BOXED_HANG))
    found = worker.judge(request("math", "5", "4", "5"))
    assert [judgement.verdict for judgement in found] == ["wrong", "correct"]


def test_a_large_request_and_a_large_answer(worker: WorkerProcess) -> None:
    texts = [("x" * 3_000_000) + str(number) for number in range(4)]
    found = worker.judge(request("text", texts[2], *texts))
    assert [judgement.reward for judgement in found] == [0.0, 0.0, 1.0, 0.0]
    assert found[3].parsed_answer == texts[3]


def test_closing_ends_whoever_waits() -> None:
    worker = WorkerProcess(600.0)
    worker.judge(request("math", "4", "4"))
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            worker.judge(request("math", "4", BOXED_HANG))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    begin = time.monotonic()
    worker.close()
    thread.join(5)
    assert time.monotonic() - begin < 5
    assert [type(error) for error in raised] == [ProcessClosedError]


def wrong(calls: range) -> int:
    """Count verdicts that are not the own problem's."""
    found = [rewards.compute_score("x", str(n % 7), str(n % 3), kind="number") for n in calls]
    return sum(score != float(n % 7 == n % 3) for score, n in zip(found, calls, strict=True))


def test_rewards_from_threads_and_after_forks() -> None:
    with ThreadPoolExecutor(6) as threads:
        parts = [range(k, 300, 6) for k in range(6)]
        assert sum(threads.map(wrong, parts)) == 0
        pids = []
        for _ in range(2):  # while the threads hold locks and workers
            busy = [threads.submit(wrong, part) for part in parts]
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    status = min(1, wrong(range(30)))
                finally:
                    os._exit(status)
            pids.append(pid)
            assert sum(future.result() for future in busy) == 0
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
        assert sum(threads.map(wrong, parts)) == 0


def test_an_interrupted_verification_ends_at_once_and_leaves_nothing() -> None:
    import pyarrow as pa

    from learnalign.tables import PROBLEMS, ROLLOUTS

    names = [str(number) for number in range(40)]
    problems = [{"problem_id": name, "answer": "4", "row": json.dumps({})} for name in names]
    rollouts = [
        {"problem_id": name, "sample": 0, "completion": BOXED_HANG, "token_ids": []}
        for name in names
    ]
    tables = pa.Table.from_pylist(problems, PROBLEMS), pa.Table.from_pylist(rollouts, ROLLOUTS)
    kept: list[Verifier] = []

    def verify() -> None:
        with open_verifier(VerifierConfig(kind="math", workers=2, timeout_s=600)) as verifier:
            kept.append(verifier)
            verifier.verify(*tables)

    begin = time.monotonic()
    with interrupted_after(1.5), pytest.raises(KeyboardInterrupt):
        verify()
    assert time.monotonic() - begin < 6
    assert all(worker._child is None for worker in kept[0].workers._all)
