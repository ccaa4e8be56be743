"""Judging without a run: the same verdicts as with the tables of one, part by part."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError
from learnalign.tables import PROBLEMS, ROLLOUTS, VERDICTS
from learnalign.verifying import judging
from learnalign.verifying.judging import JUDGED, Answered, judge, judged
from learnalign.verifying.verifier import open_verifier

NUMBER = VerifierConfig(kind="number", workers=2)


def test_verdicts_are_those_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_BATCH", 3)
    golds = [None if i % 5 == 4 else str(i) for i in range(17)]
    said = [[f"it is {i + g}" for g in range(i % 3)] for i in range(17)]
    found = judge(golds, said, config=NUMBER)
    assert found.schema == JUDGED
    problems = [
        {"problem_id": f"{i}", "answer": gold, "row": "{}"}
        for i, gold in enumerate(golds)
        if gold is not None
    ]
    rollouts = [
        {"problem_id": f"{i}", "sample": g, "completion": text}
        for i, texts in enumerate(said)
        if golds[i] is not None
        for g, text in enumerate(texts)
    ]
    with open_verifier(NUMBER) as verifier:
        table = verifier.verify(
            pa.Table.from_pylist(problems, schema=PROBLEMS),
            pa.Table.from_pylist(rollouts, schema=ROLLOUTS),
        )
    ours = [row for row in found.to_pylist() if row["gold"] is not None]
    names = [name for name in VERDICTS.names if name != "problem_id"]
    assert [{name: row[name] for name in names} for row in ours] == table.select(names).to_pylist()
    assert [str(row["problem"]) for row in ours] == table["problem_id"].to_pylist()
    others = [row for row in found.to_pylist() if row["gold"] is None]
    assert {(row["verdict"], row["reward"], row["verifier"]) for row in others} == {
        ("unparsed_gold", None, None)
    }
    assert len(ours) + len(others) == sum(map(len, said))


def test_progress_counts_every_problem_once() -> None:
    answered = [
        Answered(("1",), ("1", "2")),
        Answered((), ("1",), detail="none"),
        Answered(("1",), ()),
        Answered((), ()),
    ]
    counted: list[int] = []
    found = list(judged(answered, NUMBER, counted.append))
    assert sum(counted) == len(answered)
    assert [len(one.rows) for one in found] == [2, 1, 0, 0]
    assert found[1].rows[0]["detail"] == "none"


def test_golds_and_completions_of_numpy() -> None:
    golds = [np.float64(72.0), np.array(["5", "7"]), np.int64(3)]
    found = judge(golds, [["72"], np.array(["7", "6"]), np.int64(4)], config=NUMBER)
    assert found["verdict"].to_pylist() == ["correct", "correct", "wrong", "wrong"]
    assert found["gold"].unique().to_pylist() == ["72", 'any of ["5", "7"]', "3"]


def test_as_many_completions_as_golds() -> None:
    with pytest.raises(ValueError, match="zip"):
        judge(["1", "2"], ["1"], config=NUMBER)
    with pytest.raises(LearnAlignError, match="number"):
        judge(["1"], ["1"], config=VerifierConfig(kind="numbers"))


def test_prompts_and_rows_reach_the_verifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "echoes.py").write_text(
        "def same(prompts, completions, unit, **columns):\n"
        "    return [float(c == p + u) for p, c, u in zip(prompts, completions, unit)]\n"
    )
    monkeypatch.chdir(tmp_path)
    found = judge(
        ["", "1"],
        [["5 km"], ["5 km", "6 m"]],
        prompts=["5 ", "6 "],
        rows=[{"unit": "km"}, {"unit": "m"}],
        config=VerifierConfig(kind="echoes:same", workers=1),
    )
    assert found["verdict"].to_pylist() == ["unparsed_gold", "wrong", "correct"]
    assert found["verifier"].to_pylist() == [None, "echoes:same", "echoes:same"]
