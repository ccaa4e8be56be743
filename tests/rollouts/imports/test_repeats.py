"""A step, a rollout or a count that a dump has twice is not counted twice, or the run says so."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from learnalign.errors import LearnAlignError
from learnalign.rollouts.imports.joining import Join
from learnalign.rollouts.imports.reading import read_records
from learnalign.tables import PROBLEMS

LONG = "so " * 100


class _Tokenizer:
    """Tokens do not matter here."""

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        return {"input_ids": text}

    def decode(self, ids: str, **_: Any) -> str:
        return ids


def _pool() -> Join:
    rows = [
        {"problem_id": name, "prompt": name, "messages": [{"role": "user", "content": name}]}
        for name in "abcd"
    ]
    return Join([pa.Table.from_pylist(rows, schema=PROBLEMS)], _Tokenizer())


def _write(path: Path, rows: list[dict[str, Any]], **dumped: Any) -> Path:
    path.write_text("\n".join(json.dumps(row, **dumped) for row in rows))
    return path


def _verl(step: int, text: str = "", **more: Any) -> list[dict[str, Any]]:
    return [
        {"input": name, "output": f"{text}{take}", "gts": "1", "score": take, "step": step} | more
        for name in "abcd"
        for take in (0, 1)
    ]


def _read(folder: Path) -> tuple[int, dict[str, int]]:
    """Number of rollouts that are used, and what is counted."""
    files, read = read_records([folder])
    groups, counts = _pool().groups(files)
    return sum(map(len, groups.values())), {k: n for k, n in (read + counts).items() if n}


def test_a_step_written_a_second_time(tmp_path: Path) -> None:
    """In other bytes; appended to itself; and, resumed, with other rollouts."""
    _write(tmp_path / "1.jsonl", _verl(1))
    _write(tmp_path / "copy.jsonl", _verl(1), separators=(",", ":"))
    _write(tmp_path / "twice.jsonl", _verl(1, "b") * 3)
    used, counts = _read(tmp_path)
    assert (used, counts["repeated_rows"], counts["resumed"]) == (16, 8 + 16, 8)


def test_a_pattern_is_read_as_its_files(tmp_path: Path) -> None:
    """Their names tell the steps, and a list of the trainer's settings is no rollout."""
    rows = [{k: v for k, v in row.items() if k != "step"} for row in _verl(1)]
    for step in (2, 10):
        texts = [row | {"output": f"{row['output']} at {step}"} for row in rows]
        _write(tmp_path / f"{step}.jsonl", texts)
    _write(tmp_path / "settings.jsonl", [{"learning_rate": 1e-6}])
    files, read = read_records([tmp_path / "*.jsonl"])
    groups, counts = _pool().groups(files)
    found = [record for group in groups.values() for record in group]
    assert len(found) == 8
    assert all(record.completion.endswith(" at 10") for record in found if record.completion)
    assert (counts["older"], read["other_files"]) == (8, 1)
    with pytest.raises(LearnAlignError, match="no file of rollouts matches"):
        read_records([tmp_path / "*.parquet"])


def test_a_pattern_of_folders_is_all_their_files(tmp_path: Path) -> None:
    for step in (2, 10):
        (tmp_path / f"step_{step}").mkdir()
        _write(tmp_path / f"step_{step}" / f"{step}.jsonl", _verl(step))
    (tmp_path / "step_2" / ".hidden.jsonl").write_text("nothing")
    files, _ = read_records([tmp_path / "step_*"])
    assert [file[0].step for file in files] == [2, 10]
    (tmp_path / "dump_1").mkdir()
    (tmp_path / "dump_1" / "rollout.pt").write_bytes(b"")
    with pytest.raises(LearnAlignError, match=r"dump_\* has no rollouts but rollout.pt: each is a"):
        read_records([tmp_path / "dump_*"])


def test_the_same_steps_of_two_runs(tmp_path: Path) -> None:
    """One was resumed from step 1 of the other: step 1 is a copy, step 2 is not."""
    for name, text in (("run1", "x"), ("run2", "y")):
        (tmp_path / name).mkdir()
        _write(tmp_path / name / "1.jsonl", _verl(1))
        _write(tmp_path / name / "2.jsonl", _verl(2, text))
    used, counts = _read(tmp_path)
    assert (used, counts["repeated_files"], counts["resumed"], counts["older"]) == (16, 1, 8, 8)


def test_equal_rows(tmp_path: Path) -> None:
    """With a rollout's id they are one; short answers may be equal; long ones are told."""
    short = {"id": "a", "completion": "4", "reward": 1}
    _write(tmp_path / "plain.jsonl", [short, short, short | {"completion": LONG}] * 2)
    assert _read(tmp_path) == (6, {"recorded": 6, "equal_rows": 1})
    _write(tmp_path / "plain.jsonl", [short | {"sample_idx": i} for i in (0, 1, 2, 1)])
    assert _read(tmp_path) == (3, {"recorded": 3, "repeated_rows": 1})
    (tmp_path / "plain.jsonl").unlink()
    rows = _verl(1, uid="same for all")  # not a rollout's: the rows differ
    _write(tmp_path / "1.jsonl", [*rows, rows[0]])
    assert _read(tmp_path) == (8, {"recorded": 8, "repeated_rows": 1})
    several = {"id": "a", "responses": [LONG, LONG], "rewards": [1, 1]}
    (tmp_path / "1.jsonl").unlink()
    _write(tmp_path / "list.jsonl", [several])
    assert _read(tmp_path) == (2, {"recorded": 2})


def test_a_problem_that_is_counted_twice(tmp_path: Path) -> None:
    row = {"problem_id": "a", "num_correct": 1, "num_rollouts": 4}
    _write(tmp_path / "one.jsonl", [row, row | {"problem_id": "b"}, row | {"note": "again"}])
    assert _read(tmp_path) == (8, {"recorded": 12, "repeated_counts": 4})
    _write(tmp_path / "two.jsonl", [row | {"num_correct": 3}])
    words = r"(?s)one.jsonl, line 1 and .*two.jsonl, .*problem 'a': 1 of 4 and 3 of 4.*column step"
    with pytest.raises(LearnAlignError, match=words):
        _read(tmp_path)
    _write(tmp_path / "one.jsonl", [row | {"step": 1}])
    _write(tmp_path / "two.jsonl", [row | {"num_correct": 3, "step": 2}])
    assert _read(tmp_path) == (4, {"recorded": 8, "older": 4})
