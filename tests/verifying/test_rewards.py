"""The verifiers as trainers' reward functions: what they are handed, and hundreds at once."""

import datetime
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from helpers.hang import HANG
from helpers.processes import interrupted_after
from learnalign.errors import LearnAlignError
from learnalign.verifying import rewards
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.processes import WorkerProcess

GOLDS: list[Any] = [72, 72.0, "72", " 72 ", ["72"], [["72"]], ["nothing", 72], (72,)]
GOLDS += [np.int64(72), np.float32(72), np.array(["72"]), np.array(72), np.array([71, 72])]
GOLDS += ["8 * 9 = 72\n#### 72"]


@pytest.mark.parametrize("gold", GOLDS, ids=repr)
def test_a_gold_as_a_trainer_hands_it_over(gold: Any) -> None:
    assert rewards.compute_score("x", "The answer is 72", gold) == 1.0
    assert rewards.compute_score("x", "The answer is 7", gold) == 0.0
    assert rewards.math(["It is 72.", "8"], solution=[gold, gold]) == [1.0, 0.0]


@pytest.mark.parametrize(
    "completion",
    [
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": "It is 72."}],
        [{"role": "assistant", "content": [{"type": "text", "text": "It is 72."}]}],
        {"role": "assistant", "content": "It is 72."},
        ["It is ", "72."],
        np.array(["It is 72."]),
        np.array([{"role": "assistant", "content": "It is 72."}], dtype=object),
    ],
    ids=repr,
)
def test_a_completion_as_a_trainer_hands_it_over(completion: Any) -> None:
    assert rewards.number([completion, "71"], [72, 72]) == [1.0, 0.0]
    assert rewards.compute_score("x", completion, 72, kind="number") == 1.0


@pytest.mark.parametrize("gold", [None, [], "", "several"])
def test_a_gold_that_cannot_be_read_is_told(gold: Any) -> None:
    with pytest.warns(RuntimeWarning, match="no reward by number"):
        assert rewards.number(["72"], [gold]) == [None]
    with pytest.warns(RuntimeWarning, match="no reward by number"):
        assert rewards.compute_score("x", "72", gold, kind="number") == 0.0


def test_what_no_trainer_can_mean_is_an_error() -> None:
    with pytest.raises(LearnAlignError, match="nearest is 'number'"):
        rewards.compute_score("x", "72", "72", kind="numbr")
    with pytest.raises(LearnAlignError, match="completion of type int"):
        rewards.number([72], [72])


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect the requests that reach a worker."""
    seen: list[dict[str, Any]] = []
    judge = WorkerProcess.judge

    def noted(self: WorkerProcess, request: Mapping[str, Any]) -> list[Judgement]:
        seen.append(dict(request))
        return judge(self, request)

    monkeypatch.setattr(WorkerProcess, "judge", noted)
    return seen


def test_many_at_once_are_rewarded_in_their_order(asked: list[dict[str, Any]]) -> None:
    """A shuffled batch of 40 problems, against a plain comparison of the numbers."""
    rng = random.Random(7)
    batch = [(n, str(n % 5), f"{n % 5}" if rng.random() < 0.5 else "9") for n in range(40)] * 8
    rng.shuffle(batch)
    numbers, golds, texts = zip(*batch, strict=True)
    found = rewards.number(
        prompts=[user(f"Problem {n}?") for n in numbers],
        completions=[f"It is {text}." for text in texts],
        solution=list(golds),
        completion_ids=[[place] for place in range(len(batch))],
        level=[n / 7 for n in numbers],
    )
    assert found == [float(text == gold) for _, gold, text in batch]
    assert len(asked) == 40  # one a problem, however its completions are scattered
    assert all(len(request["completions"]) == 8 for request in asked)
    assert {request["prompt"] for request in asked} == {f"Problem {n}?" for n in range(40)}


def test_one_problem_alone_is_shared_by_the_workers(asked: list[dict[str, Any]]) -> None:
    texts = [str(n % 3) for n in range(200)]
    assert rewards.number(texts, ["2"] * 200) == [float(text == "2") for text in texts]
    assert len(asked) == min(len(rewards._workers), -(-200 // rewards._MIN_PER_WORKER))


def test_equal_golds_of_different_problems_stay_apart(asked: list[dict[str, Any]]) -> None:
    """The prompt and the row belong to the problem: options, a generator's metadata."""
    prompts = ["Pick one: (A) 3 (B) 4", "Pick one: (A) 4 (B) 3"]
    assert rewards.choice(["B", "A"], ["B", "B"], prompts=prompts) == [1.0, 0.0]
    assert [request["prompt"] for request in asked] == prompts
    rewards.number(["1", "1"], ["1", "1"], prompts=["", ""], level=[1, 2])
    assert [request["row"]["level"] for request in asked[2:]] == [1, 2]


def test_a_row_may_hold_anything() -> None:
    columns: dict[str, Any] = {
        "when": [datetime.date(2026, 2, 3)] * 2,
        "embedding": [np.arange(3)] * 2,
        "image": [object(), object()],
        "odd": [{(1, 2): 3}, {b"x"}],
        "trainer_state": object(),
    }
    assert rewards.number(["5", "6"], ["5", "5"], **columns) == [1.0, 0.0]


def _wrong_in_a_batch(seed: int) -> int:
    """Reward a batch of 96; count rewards that are not the own problem's."""
    rng = random.Random(seed)
    golds = [str(rng.randrange(6)) for _ in range(96)]
    texts = [f"It is {rng.randrange(6)}." for _ in golds]
    found = rewards.number(texts, golds, prompts=[f"{seed}"] * 96)
    return sum(r != (t == f"It is {g}.") for r, t, g in zip(found, texts, golds, strict=True))


def test_batches_from_threads_and_after_forks() -> None:
    with ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(_wrong_in_a_batch, seed) for seed in range(24)]
        pids = []
        for seed in range(2):  # while the threads hold locks and workers
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    status = min(1, _wrong_in_a_batch(seed))
                finally:
                    os._exit(status)
            pids.append(pid)
        assert sum(future.result() for future in busy) == 0
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
        assert _wrong_in_a_batch(99) == 0


@pytest.mark.parametrize(("ranks", "share"), [("", 1), ("2", 2), ("100000", 100_000), ("no", 1)])
def test_a_trainers_processes_share_the_machine(ranks: str, share: int) -> None:
    code = "from learnalign.verifying import rewards; print(len(rewards._workers))"
    environment = os.environ | {"LOCAL_WORLD_SIZE": ranks}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert int(done.stdout) == max(1, (os.cpu_count() or 1) // share)


def test_nothing_in_nothing_out() -> None:
    assert rewards.auto([], []) == []
    with pytest.raises(ValueError, match="zip"):
        rewards.number(["1", "2"], ["1"])


def test_a_failure_is_its_own_problems_alone() -> None:
    with pytest.warns(RuntimeWarning, match="no reward by number"):
        found = rewards.number(["5", "x", "7", "5"], ["5", "none at all", "7", "6"])
    assert found == [1.0, None, 1.0, 0.0]


def test_one_that_hangs_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for worker in rewards._workers._all:
        monkeypatch.setattr(worker, "timeout_s", 1.0)
    texts = [r"\boxed{3}", r"\boxed{9^{9^{9^9}}}", "3", r"\boxed{4}", r"\boxed{4}"]
    assert rewards.math(texts, ["3", "3", "3", "4", "3"]) == [1.0, 0.0, 1.0, 1.0, 0.0]


def test_after_an_interrupt_nobody_waits_for_what_hung() -> None:
    """Ctrl-C in a notebook, while every worker has answers that take their full time."""
    assert rewards.math(["3", "4"], ["3", "4"]) == [1.0, 1.0]
    begin = time.monotonic()
    with interrupted_after(0.5), pytest.raises(KeyboardInterrupt):
        rewards.math([rf"\boxed{{{HANG}}}"] * 80, [str(n % 40) for n in range(80)])
    assert rewards.math(["3", "3"], ["3", "4"]) == [1.0, 0.0]
    assert time.monotonic() - begin < 5 * 2  # the limit of one answer, twice


def test_a_mixed_pool_is_rewarded_problem_by_problem() -> None:
    """`auto` takes for each problem the verifier that a selection would have taken."""
    gym = pytest.importorskip("reasoning_gym")
    entry = gym.create_dataset("chain_sum", size=1, seed=3)[0]
    golds = [entry["answer"], r"\frac{3}{4}", "12"]
    texts = [entry["answer"], "So it is 0.75.", r"\boxed{13}"]
    metadata = [entry["metadata"], {"source_dataset": None, "level": 3}, None]
    assert rewards.auto(texts, golds, metadata=metadata) == [1.0, 1.0, 0.0]
    row = json.dumps({"question": "?", "answer": golds[0], "metadata": entry["metadata"]})
    assert rewards.compute_score("x", texts[0], golds[0], {"row": row}) == 1.0
    assert rewards.compute_score("x", texts[1], golds[1], {"row": "{}", "prompt": "?"}) == 1.0


def test_the_prompt_that_was_scored_goes_before_messages(asked: list[dict[str, Any]]) -> None:
    """The chat template may have begun the thinking in it, which messages do not show."""
    scored = ["<user>1 + 1?<assistant><think>", None]
    told = [user("1 + 1?"), user("1 + 2?")]
    asking: dict[str, Any] = {"prompts": told, "learnalign_prompt": scored}
    found = rewards.number(["3?</think>2", "2"], ["2", "3"], **asking)
    assert found == [1.0, 0.0]
    assert rewards.number(["2", "3"], ["2", "3"], **asking) == [0.0, 1.0]  # still thinking
    del asked[2:]
    assert [request["prompt"] for request in asked] == [scored[0], "1 + 2?"]
    assert all("learnalign_prompt" not in request["row"] for request in asked)


def test_verls_row_and_prompt_reach_the_verifier(asked: list[dict[str, Any]]) -> None:
    known = {"row": json.dumps({"level": 4}), "prompt": "Pick: (A) 1 (B) 2", "index": 3}
    assert rewards.compute_score("x", "B", "B", known, kind="choice") == 1.0
    rewards.compute_score("x", "B", "B", None, kind="choice", unfinished_thinking=True)
    assert [request["prompt"] for request in asked] == [known["prompt"], ""]
    assert [request["row"].get("level") for request in asked] == [4, None]
    assert [request["unfinished_thinking"] for request in asked] == [False, True]


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("1 + 1?", "1 + 1?"),
        (user("1 + 1?"), "1 + 1?"),
        ([*user("1 + 1?"), {"role": "assistant", "content": "2"}, *user("2 + 2?")], "2 + 2?"),
        ([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]}],
         "How many?"),
        ([{"role": "system", "content": "Say a word."}], "Say a word."),
        (np.array([{"role": "user", "content": "1 + 1?"}], dtype=object), "1 + 1?"),
        ([{"role": "user", "content": None}], ""),
        (None, ""),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_prompt_as_a_trainer_hands_it_over(
    prompt: Any, text: str, asked: list[dict[str, Any]]
) -> None:
    rewards.number(["2"], ["2"], prompts=[prompt])
    assert asked[0]["prompt"] == text
