"""Made-up answers whose verdicts people agree on: ours, and those of the reward functions.

A case is right, wrong, or not read; ``not`` is anything but correct.
"""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from learnalign.verifying import rewards
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.kinds import named_kind

TEXT = Path(__file__).with_name("verdicts.jsonl").read_text()
CASES = [json.loads(line) for line in TEXT.splitlines()]
GROUPS = sorted({case["group"] for case in CASES})
SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases" / "verdicts.jsonl"


def judge(verifier: str, gold: str, completion: str, prompt: str = "", **options: Any) -> Judgement:
    request = {"golds": [gold], "row": {}, "prompt": prompt, "completions": [completion]}
    read, *judged = named_kind(verifier).judge(request | options)
    return read or judged[0]


@pytest.mark.parametrize("group", GROUPS)
def test_verdicts(group: str) -> None:
    wrong = []
    for case in (case for case in CASES if case["group"] == group):
        found = judge(
            case["verifier"], case["gold"], case["completion"], prompt=case.get("prompt", "")
        )
        expected = case["right"]
        if found.verdict != expected and (expected != "not" or found.verdict == "correct"):
            wrong.append((case, found))
    assert not wrong


@pytest.mark.skipif(not SHARED.is_file(), reason="the shared cases are not here")
def test_verdicts_of_the_shared_cases() -> None:
    wrong = []
    for line in SHARED.read_text().splitlines():
        case = json.loads(line)
        found = judge(case["kind"], case["gold"], case["completion"])
        unread = found.verdict == "unparsed_gold" and "may be unparsed_gold" in case["why"]
        if found.verdict != case["right"] and not unread:
            wrong.append((case, found))
    assert not wrong


def test_reward_functions_give_the_same_verdicts() -> None:
    """TRL's form, all at once, and verl's, one by one, of every fourth case."""
    # As a pool is read, a dollar before a gold is dropped, so that there no pound is wrong.
    cases = [case for case in CASES if not case["gold"].startswith("\\$")]
    ordered = sorted(cases, key=lambda case: str(case["verifier"]))
    for verifier, group in groupby(ordered, key=lambda case: str(case["verifier"])):
        cases = list(group)
        right = [float(case["right"] == "correct") for case in cases]
        asked = [case.get("prompt") or "?" for case in cases]
        texts, golds = [case["completion"] for case in cases], [case["gold"] for case in cases]
        function = getattr(rewards, verifier)
        assert function(texts, golds, prompts=asked) == right
        for text, gold, prompt, reward in list(zip(texts, golds, asked, right, strict=True))[::4]:
            extra = {"prompt": prompt}
            assert rewards.compute_score("x", text, gold, extra, kind=verifier) == reward


def test_the_text_that_was_taken_stands_beside_what_was_read() -> None:
    found = judge("math", "2.5", r"<think>\boxed{9}</think> So \boxed{2\tfrac{1}{2} \text{ km}}.")
    assert found.verdict == "correct"
    assert found.extracted_answer == r"2\tfrac{1}{2} \text{ km}"
    assert found.parsed_answer == "5/2 km"
    lost = judge("math", "4", "<think>It is 4.")
    assert (lost.verdict, lost.extracted_answer) == ("unparsed_answer", None)
    assert lost.detail == "the thinking was not finished"


def test_unfinished_thinking_counts_if_it_is_asked_for() -> None:
    for prompt, text in (("?", r"<think>It is \boxed{4}"), ("?<think>\n", r"It is \boxed{4}")):
        assert judge("math", "4", text, prompt).verdict == "unparsed_answer"
        assert judge("math", "4", text, prompt, unfinished_thinking=True).verdict == "correct"
    closed = r"<think>It is \boxed{5}</think>\boxed{4}"
    assert judge("math", "4", closed, unfinished_thinking=True).verdict == "correct"


@pytest.mark.parametrize(
    ("gold", "completion", "verdict"),
    [
        ("[1, 'a']", "The answer is `[1, 'a']`.", "correct"),
        ("{'a': 1, 'b': 2}", "```python\n{'b': 2, 'a': 1}\n```", "correct"),
        ("[1, 2]", "(1, 2)", "wrong"),
        ("[1]", "[True]", "wrong"),
        ("None", "None", "correct"),
        ("'x'", r"<answer>'y'</answer>", "wrong"),
        ("[1]", "I cannot say", "unparsed_answer"),
        ("assert f(1) == 2\nassert f(2) == 3", "def f(n): return n + 1", "unparsed_gold"),
    ],
)
def test_code_is_compared_as_values_and_never_run(gold: str, completion: str, verdict: str) -> None:
    assert judge("code", gold, completion).verdict == verdict


@pytest.mark.parametrize(
    ("gold", "completion", "verdict"),
    [
        ("yes", "Yes.", "correct"),
        ("Marie Curie", r"\boxed{\text{marie curie}}", "correct"),
        ("Friday", "So the answer is: on Friday.", "correct"),
        ("Friday", "The answer is Saturday, not Friday.", "wrong"),
        ("true", "<answer>False</answer>", "wrong"),
        ("no", "", "unparsed_answer"),
    ],
)
def test_words(gold: str, completion: str, verdict: str) -> None:
    assert judge("words", gold, completion).verdict == verdict


@pytest.mark.parametrize(
    ("gold", "completion", "verdict"),
    [
        ("9:05 am", r"\boxed{9{:}05\text{ a.m.}}", "correct"),
        ("21:05", "It ends at 9:05 p.m.", "correct"),
        ("9:05 am", "The answer is 9:50 am.", "wrong"),
        ("noon", "The answer is 12:00 pm.", "correct"),
        ("12 noon", "The answer is 12:00 pm.", "correct"),
        ("April 1, 2020", "**Answer:** 1 April 2020", "correct"),
        ("2020-04-01", "The answer is April 2.", "wrong"),
        ("9:05 am", "soon", "unparsed_answer"),
    ],
)
def test_times(gold: str, completion: str, verdict: str) -> None:
    assert judge("time", gold, completion).verdict == verdict
