"""The verifier `program`, from a completion to a verdict, and as a reward function."""

import json
from typing import Any

import pytest

from helpers.sandboxes import needs_sandbox
from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError
from learnalign.verifying import rewards
from learnalign.verifying.judging import judge
from learnalign.verifying.programs import bubblewrap, running
from learnalign.verifying.programs.sandbox import SandboxError
from learnalign.verifying.programs.verdicts import Programs
from learnalign.verifying.verifier import open_verifier

TESTS = ["assert f(1) == 2", "assert f(2) == 4", "assert f(3) == 6"]
RIGHT = "```python\ndef f(x):\n    return 2 * x\n```"
HALF = "```python\ndef f(x):\n    return 2 * x if x < 3 else 0\n```"


def options(**changes: Any) -> dict[str, Any]:
    return {"options": VerifierConfig(**changes).model_dump(mode="json")}


@needs_sandbox
def test_verdicts_and_rewards() -> None:
    completions = [
        RIGHT,
        f"<think>{RIGHT}</think> I give up.",
        f"<think>hm</think>{RIGHT}",
        HALF,
        "def f(x):\n    return 2 * x\n",
        "```python\ndef f(x) return\n```",
        "It is 2x.",
        "```python\ndef f(x):\n    while True: pass\n```",
    ]
    config = VerifierConfig(kind="program", workers=1, test_timeout_s=1.0)
    table = judge([TESTS], [completions], config=config)
    assert table["verdict"].to_pylist() == [
        *("correct", "unparsed_answer", "correct", "wrong", "correct", "wrong"),
        *("unparsed_answer", "timed_out"),
    ]
    assert table["reward"].to_pylist() == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    details = table["detail"].to_pylist()
    assert details[3] == "test 3 of 3: assert f(3) == 6"
    assert "SyntaxError" in details[5]
    assert set(table["verifier"].to_pylist()) == {"program"}


@needs_sandbox
def test_credit_for_a_share_of_the_tests() -> None:
    config = VerifierConfig(kind="program", workers=1, credit="fraction")
    table = judge([TESTS], [[RIGHT, HALF]], config=config)
    assert table["reward"].to_pylist() == pytest.approx([1.0, 2 / 3])
    assert table["verdict"].to_pylist() == ["correct", "wrong"]
    config = VerifierConfig(kind="program", workers=1, max_tests=2)
    assert judge([TESTS], [HALF], config=config)["verdict"].to_pylist() == ["correct"]


@needs_sandbox
def test_a_program_that_waited_runs_again_alone_before_its_time_out_counts() -> None:
    """A sleeping program looks like one that waits for its turn: it is tried twice."""
    waits = "```python\nimport time\ndef f(x):\n    time.sleep(30)\n```"
    request = {"golds": [json.dumps(TESTS)], "completions": [waits], **options(test_timeout_s=0.5)}
    (_, judgement) = list(Programs().judge(request))
    assert judgement is not None
    assert (judgement.verdict, judgement.reward) == ("timed_out", None)
    (_, judgement) = list(Programs().judge(request | {"alone": True}))
    assert judgement is not None
    assert (judgement.verdict, judgement.reward) == ("timed_out", 0.0)
    config = VerifierConfig(kind="program", workers=2, test_timeout_s=0.5)
    table = judge([TESTS], [[RIGHT, waits]], config=config)
    assert table["reward"].to_pylist() == [1.0, 0.0]


@pytest.mark.parametrize("error", [SandboxError("no sandbox"), RuntimeError("a bug")])
def test_a_failure_of_ours_is_never_wrong(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(running.Runner, "run", fail)
    request = {"golds": [json.dumps(TESTS)], "completions": [RIGHT], **options()}
    (_, judgement) = list(Programs().judge(request))
    assert judgement is not None
    assert (judgement.verdict, judgement.reward) == ("error", None)
    assert str(error) in (judgement.detail or "")


@needs_sandbox
def test_golds_are_checked_with_their_reference_solutions() -> None:
    def gold(*solutions: str) -> dict[str, Any]:
        text = json.dumps({"tests": TESTS, "solutions": list(solutions)})
        return {"answer": text, "prompt": "", "row": "{}"}

    good, bad = "f = lambda x: 2 * x", "f = lambda x: x"
    pickled = {"answer": "eJ" + "A" * 40, "prompt": "", "row": "{}"}
    with open_verifier(VerifierConfig(kind="program", workers=1)) as verifier:
        reasons = verifier.check_golds(
            [gold(good), gold(bad), gold(bad, good), gold(), gold("f("), pickled]
        )
    assert [reason and reason[0] for reason in reasons] == [
        *(None, "rejected_gold", None, None, "rejected_gold", "unparsed_gold"),
    ]
    assert reasons[1] is not None
    assert "assert f(1) == 2" in reasons[1][1]


@needs_sandbox
def test_reward_functions() -> None:
    assert rewards.program([RIGHT, HALF], solution=[TESTS, json.dumps(TESTS)]) == [1.0, 0.0]
    assert rewards.auto([RIGHT, "5"], solution=[TESTS, "5"]) == [1.0, 1.0]
    assert rewards.compute_score("code", RIGHT, json.dumps(TESTS)) == 1.0


def test_without_bubblewrap_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (bubblewrap._bwrap, bubblewrap.require):
        function.cache_clear()
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    monkeypatch.setattr(bubblewrap.os, "geteuid", lambda: 1000)
    try:
        with (
            pytest.raises(LearnAlignError, match="apt-get install bubblewrap"),
            open_verifier(VerifierConfig(kind="program")),
        ):
            pass
    finally:
        for function in (bubblewrap._bwrap, bubblewrap.require):
            function.cache_clear()


def test_none_runs_plain_processes_by_name_only() -> None:
    config = VerifierConfig(kind="program", sandbox="none", workers=1)
    table = judge([TESTS], [[RIGHT, HALF]], config=config)
    assert table["verdict"].to_pylist() == ["correct", "wrong"]
    inputs = '{"inputs": ["2"], "outputs": ["4"]}'
    table = judge([inputs], ["```python\nprint(2 * int(input()))\n```"], config=config)
    assert table["verdict"].to_pylist() == ["correct"]
