"""Golds: held against themselves, several of which one is right, and as trainers hand them over."""

import json
from typing import Any

import numpy as np
import pytest

from helpers.hang import HANG
from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError
from learnalign.verifying import rewards, verifier
from learnalign.verifying.processes import WorkerProcess
from learnalign.verifying.verifier import open_verifier


def reasons(kind: str, *answers: str, **options: Any) -> list[str | None]:
    rows = [json.dumps({"answer": answer}) for answer in answers]
    problems = [{"answer": a, "prompt": "", "row": r} for a, r in zip(answers, rows, strict=True)]
    with open_verifier(VerifierConfig(kind=kind, workers=2, **options)) as made:
        found = made.check_golds(problems)
    assert all(reason is None or reason[1] for reason in found)  # a reason has its words
    return [reason and reason[0] for reason in found]


@pytest.mark.parametrize(
    ("kind", "good", "unread"),
    [
        ("math", ["7", r"\frac{3}{8}", r"so $\boxed{9}$", "(1, 2]", "$5$"], [""]),
        ("number", ["7", "1,250", "3/8", "-2.5 apples"], ["several", ""]),
        ("choice", ["C", "(d)", "B. a dog"], ["the dog", "BC"]),
        ("text", ["red car", "  wide   spaces ", r"\boxed{red}"], ["  "]),
    ],
)
def test_a_gold_accepts_itself_or_is_told(kind: str, good: list[str], unread: list[str]) -> None:
    found = reasons(kind, *good, *unread)
    assert found == [None] * len(good) + ["unparsed_gold"] * len(unread)


def test_a_gold_that_is_no_single_number() -> None:
    assert reasons("number", "3", "3 of 4", "(3, 4)") == [None, "unparsed_gold", "unparsed_gold"]


def test_a_gold_that_hangs_or_kills_costs_itself_alone() -> None:
    golds = [str(number) for number in range(150)]
    golds[70] = HANG + " + 3"
    found = reasons("math", *golds, timeout_s=1.0)
    assert [place for place, reason in enumerate(found) if reason] == [70]
    assert found[70] == "unparsed_gold"


def test_the_verifier_of_each_row_under_auto() -> None:
    pytest.importorskip("reasoning_gym")
    rows = [{"answer": text, "metadata": {"source_dataset": "chain_sum"}} for text in ("5", "-6")]
    rows.append({"answer": r"\sqrt{8}"})
    rows.append({"answer": "5", "metadata": {"source_dataset": "no_such_generator"}})
    problems = [{"answer": row["answer"], "prompt": "", "row": json.dumps(row)} for row in rows]
    with open_verifier(VerifierConfig(workers=1)) as made:
        found = made.check_golds(problems)
    assert [reason and reason[0] for reason in found] == [None] * 3 + ["unparsed_gold"]


def test_a_function_of_the_users_is_not_asked() -> None:
    with open_verifier(VerifierConfig(kind="math:prod", workers=1)) as made:
        assert made.check_golds([{"answer": "x", "prompt": "", "row": "{}"}]) == [None]


def test_any_of_several_golds_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerProcess(5.0)
    asked: dict[str, Any] = {"kind": "math", "row": {}, "prompt": "", "messages": []}
    asked |= {"completions": ["7", r"\boxed{x+1}", "8"], "completion_ids": [[]] * 3}
    for golds, right in (
        (["7", "x+1"], [1.0, 1.0, 0.0]),
        (["", "8"], [0.0, 0.0, 1.0]),  # the first cannot be read
        ([""], [None] * 3),
    ):
        found = worker.judge(asked | {"golds": golds})
        assert [judgement.reward for judgement in found] == right
    worker.close()
    # What the pool stores for several golds is the table's business; the verifier asks it.
    monkeypatch.setattr(verifier, "golds", lambda answer: answer.split("|"))
    assert reasons("number", "many|5", "5|many", "many|few") == [None, None, "unparsed_gold"]


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
