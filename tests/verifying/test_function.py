"""Reward functions of the user's own, in a real worker: what they may give, do and break."""

import itertools
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.processes import alive, wait_for
from learnalign.errors import LearnAlignError
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.processes import WorkerProcess

Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("here")
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def judged(here: Path) -> Iterator[Load]:
    """Judges completions by a function's code, written into a module of the current folder."""
    workers = {5.0: WorkerProcess(5.0, 2048)}
    names = (f"rewards_{number}" for number in itertools.count())

    def judge(
        code: str,
        completions: tuple[str, ...] = ("a", "bb"),
        *,
        timeout_s: float = 5.0,
        fresh: bool = False,
        **asked: Any,
    ) -> list[Judgement]:
        if fresh:
            workers.pop(timeout_s).close()
        name = next(names)
        (here / f"{name}.py").write_text(textwrap.dedent(code))
        request = {"kind": f"{name}:f", "golds": ["1"], "row": {"answer": "1"}, "prompt": "?"}
        request |= {"messages": [], "completions": list(completions)}
        request |= {"completion_ids": [[7]] * len(completions), **asked}
        worker = workers.setdefault(timeout_s, WorkerProcess(timeout_s, 2048))
        return worker.judge(request)

    yield judge
    for worker in workers.values():
        worker.close()


def rewards(judgements: list[Judgement]) -> list[float | None]:
    return [judgement.reward for judgement in judgements]


@pytest.mark.parametrize(
    "expression",
    [
        "[0.25, 0.75]",
        "(0.25, 0.75)",
        "np.array([0.25, 0.75])",
        "np.array([0.25, 0.75], dtype=np.float16)",
        "[np.float32(0.25), np.array(0.75)]",
        "[np.array([0.25]), np.array([0.75])]",
        "(x / 4 for x in (1, 3))",
        "[Fraction(1, 4), Decimal('0.75')]",
        "dict(a=0.25, b=0.75).values()",
    ],
)
def test_rewards_may_be_anything_that_trl_can_list(judged: Load, expression: str) -> None:
    code = f"""
        import numpy as np
        from decimal import Decimal
        from fractions import Fraction

        def f(completions, **kwargs):
            return {expression}
    """
    assert rewards(judged(code)) == [0.25, 0.75]


def test_tensors_are_rewards(judged: Load) -> None:
    code = """
        import torch

        def f(completions, **kwargs):
            if len(completions) == 1:
                return torch.tensor(0.75)
            found = torch.tensor([0.25, float("nan"), 0.75], dtype=torch.bfloat16)
            return found.requires_grad_()
    """
    assert rewards(judged(code, ("a", "b", "c"))) == [0.25, None, 0.75]
    assert rewards(judged(code, ("a",))) == [0.75]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0.5", "returned float, not a list of 2 rewards"),
        ("np.array(0.5)", "returned ndarray, not a list of 2"),
        ("[1.0]", "returned list of 1, not a list of 2"),
        ("[[1.0], [0.0]]", "a reward is list, not a number"),
        ("{0: 1.0, 1: 0.0}", "returned dict"),
        ("'10'", "returned str"),
        ("None", "returned NoneType"),
        ("['good', '1.0']", "a reward is str"),
        ("[10**400, 1j]", "not a number"),
        ("[np.array([1.0, 2.0])] * 2", "a reward is ndarray"),
        ("[float(input())] * 2", "EOFError"),
        ("[float('inf')] * 2", "returned inf"),
        ("print(undefined)", "NameError"),
        ("sys.exit('no')", "SystemExit: no"),
        ("raise_(KeyboardInterrupt)", "KeyboardInterrupt"),
        ("raise_(UnicodeError('\\ud800'))", "UnicodeError"),
        ("[1.0] * 10**12", "MemoryError"),
    ],
)
def test_what_is_no_reward_is_an_error_that_says_so(
    judged: Load, expression: str, words: str
) -> None:
    code = f"""
        import sys
        import numpy as np

        def raise_(what):
            raise what

        def f(completions, **kwargs):
            return {expression}
    """
    for judgement in judged(code):
        assert (judgement.verdict, judgement.reward) == ("error", None)
        assert words in str(judgement.detail)
        str(judgement.detail).encode()
        assert judgement.is_failure


def test_one_reward_that_is_none_is_no_failure(judged: Load) -> None:
    found = judged("def f(completions, **kwargs): return [None, 'x', 1]", ("a", "b", "c"))
    assert rewards(found) == [None, None, 1.0]
    assert [judgement.is_failure for judgement in found] == [False, True, False]


def test_a_function_gets_what_trl_hands_over(judged: Load) -> None:
    code = """
        async def f(prompts, completions, completion_ids, answer, trainer_state, log_extra,
                    log_metric):
            log_extra("length", [len(text) for text in completions])
            log_metric("mean_length", 1.5)
            assert prompts == ["?", "?"] and answer == ["1", "1"] and completion_ids == [[7], [7]]
            assert trainer_state.log_history == [] and trainer_state.is_world_process_zero
            return [trainer_state.global_step, trainer_state.max_steps]
    """
    assert rewards(judged(code)) == [0.0, 0.0]
    told = {"global_step": 3, "max_steps": 9}
    assert rewards(judged(code, trainer_state=told)) == [3.0, 9.0]


def test_columns_of_the_row_do_not_stand_in_for_what_trl_hands_over(judged: Load) -> None:
    code = """
        def f(completions, prompts, log_metric, **kwargs):
            log_metric("a", 1.0)
            return [float(text == "a") for text in completions]
    """
    row = {"completions": "x", "prompts": "y", "log_metric": "z", "completion": "w"}
    assert rewards(judged(code, row=row)) == [1.0, 0.0]


@pytest.mark.parametrize(
    "deed",
    [
        "print('noise' * 100_000); sys.stderr.write('noise' * 100_000)",
        "os.write(1, b'{\"number\": 1}\\n')",
        "os.closerange(0, 3)",
        "os.fork()",  # both return; the copy must not answer
        "threading.Thread(target=time.sleep, args=(60,)).start()",
        "subprocess.Popen(['sleep', '60'])",
        "multiprocessing.Pool(2).map(abs, [1, 2])",
        "os.chdir('/')",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    ],
)
def test_a_function_may_do_as_it_likes(judged: Load, deed: str) -> None:
    code = f"""
        import multiprocessing, os, signal, subprocess, sys, threading, time

        def f(completions, **kwargs):
            {deed}
            return [float(len(text)) for text in completions]
    """
    assert rewards(judged(code)) == [1.0, 2.0]
    assert rewards(judged(code)) == [1.0, 2.0]
    judged(code, (), fresh=True)


def test_a_copy_of_a_copy_keeps_its_own_files(judged: Load, here: Path) -> None:
    code = """
        import os

        def f(completions, **kwargs):
            child = os.fork()
            if child == 0:
                files = [os.open(f"file-{k}", os.O_CREAT | os.O_WRONLY) for k in range(20)]
                grandchild = os.fork()
                if grandchild == 0:
                    for descriptor in files:
                        os.write(descriptor, b"written")
                    os._exit(0)
                os._exit(os.waitpid(grandchild, 0)[1])
            assert os.waitpid(child, 0)[1] == 0
            return [1.0] * len(completions)
    """
    assert rewards(judged(code)) == [1.0, 1.0]
    assert {path.read_text() for path in here.glob("file-*")} == {"written"}


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("os._exit(3)", "ended with code 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "Segmentation fault"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 5)", "killed by signal"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed"),
        ("os.closerange(3, 100)", "the verifier's process"),  # caught alive, or a moment later
        ("write_everywhere(b'{}\\n')", "invalid response"),
        ("write_everywhere(b'noise\\n')", "invalid response"),
        ('write_everywhere(b\'{"number": 1, "place": 1, "said": {}}\\n\')', "invalid response"),
        ('write_everywhere(b\'{"number": 9, "place": 2, "said": null}\\n\')', "invalid response"),
    ],
)
def test_a_function_that_breaks_its_worker_is_asked_twice(
    judged: Load, here: Path, deed: str, words: str
) -> None:
    code = f"""
        import os, pathlib, signal

        def write_everywhere(data):
            for descriptor in range(3, 30):
                try:
                    os.write(descriptor, data)
                except OSError:
                    pass

        def f(completions, **kwargs):
            with open("calls", "a") as file:
                file.write("x")
            {deed}
            return [1.0] * len(completions)
    """
    (here / "calls").unlink(missing_ok=True)
    found = judged(code)
    assert [judgement.verdict for judgement in found] == ["error", "error"]
    assert all(words in str(judgement.detail) for judgement in found), found[0].detail
    assert (here / "calls").read_text() == "xx"


def test_a_worker_that_breaks_once_costs_nothing(judged: Load) -> None:
    code = """
        import os, pathlib

        def f(completions, **kwargs):
            if not pathlib.Path("broken").exists():
                pathlib.Path("broken").touch()
                os._exit(1)
            return [1.0, 0.0]
    """
    assert rewards(judged(code)) == [1.0, 0.0]


def test_if_one_completion_takes_too_long_the_others_have_no_reward(judged: Load) -> None:
    code = """
        import time

        def f(completions, **kwargs):
            for text in completions:
                time.sleep(60 if text == "slow" else 0)
            return [1.0] * len(completions)
    """
    found = judged(code, ("a", "slow", "b"), timeout_s=0.2)
    assert [judgement.verdict for judgement in found] == ["timed_out"] * 3
    assert rewards(found) == [None] * 3
    assert "within 0.6 s for 3 completions together" in str(found[0].detail)
    assert rewards(judged(code, ("slow",), timeout_s=0.2)) == [0.0]


def test_no_grandchild_is_left_and_none_holds_the_worker_up(judged: Load, here: Path) -> None:
    code = """
        import multiprocessing, pathlib, subprocess, time

        def f(completions, **kwargs):
            started = subprocess.Popen(["sleep", "60"]).pid
            pool = multiprocessing.Pool(1)
            pids = [started, *(child.pid for child in multiprocessing.active_children())]
            pathlib.Path("pids").write_text(" ".join(map(str, pids)))
            pool.map(time.sleep, [60])
    """
    begin = time.monotonic()
    assert judged(code, timeout_s=0.5)[0].verdict == "timed_out"
    assert time.monotonic() - begin < 20
    pids = [int(word) for word in (here / "pids").read_text().split()]
    assert len(pids) == 2
    assert wait_for(lambda: not any(alive(pid) for pid in pids), 5)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package", "No module named 'no_such_package'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(5)", "SystemExit: 5"),
        ("import os; os._exit(6)", "ended with code 6"),
        ("import os; os.write(2, b'the reason'); os._exit(6)", "the reason"),
        ("def g(): pass", "nearest is 'g'|known are 'g'"),
        ("f = 3", "has no function 'f'"),
        ("x = [0] * 10**12", "MemoryError"),
    ],
)
def test_what_cannot_be_imported_ends_the_run_with_the_reason(
    judged: Load, code: str, words: str
) -> None:
    with pytest.raises(LearnAlignError, match=words):
        judged(code)


def test_an_import_that_fails_once_is_tried_again(judged: Load) -> None:
    code = """
        import pathlib

        if not pathlib.Path("failed").exists():
            pathlib.Path("failed").touch()
            raise RuntimeError("not yet")

        def f(completions, **kwargs):
            return [0.0, 1.0]
    """
    assert rewards(judged(code)) == [0.0, 1.0]


def test_a_module_of_the_parents_path_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "there" / "told_by_path.py").write_text("def f(completions, **_): return [1.0]")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(os.path.relpath(tmp_path / "there"))
    worker = WorkerProcess(5.0)
    try:
        request: dict[str, Any] = {"kind": "told_by_path:f", "golds": [], "row": {}, "prompt": ""}
        request |= {"messages": [], "completions": ["a"], "completion_ids": [[]]}
        assert rewards(worker.judge(request)) == [1.0]
    finally:
        worker.close()
