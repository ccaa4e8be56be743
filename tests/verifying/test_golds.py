"""Golds: held against themselves, and several of which one is right."""

import json
from typing import Any

import pytest

from helpers.hang import HANG
from learnalign.config import VerifierConfig
from learnalign.verifying import verifier
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
