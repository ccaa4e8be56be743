"""Success rates of an earlier training, from its folder and from files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from helpers.digits import digits_data, digits_model
from learnalign.config import ModelConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_tokenizer
from learnalign.pipeline.success_histories import read_history
from learnalign.rollouts.imports.joining import Join
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.tables import HISTORY, PROBLEMS


def test_of_a_training(tmp_path):
    # Problem a is met in steps 0 and 2, b in step 1; one rollout of b has no reward.
    met = [("a", 0, [1, 0]), ("b", 1, [1, None]), ("a", 2, [1, 1])]
    rows = [
        {"step": step, "problem_id": name, "sample": g, "reward": reward}
        for name, step, rewards in met
        for g, reward in enumerate(rewards)
    ]
    folder = RunFolder(tmp_path, TRAINING_TABLES)
    with folder.locked():
        folder.begin("history", {})
        folder.write_shard("history", 0, pa.Table.from_pylist(rows, HISTORY), seconds=0.0)
    found = read_history(tmp_path).rates(["b", "unmet", "a"])
    expected = np.array([[1.0, np.nan], [np.nan, np.nan], [0.5, 1.0]])
    np.testing.assert_array_equal(found, expected)


def test_of_a_file(tmp_path):
    path = tmp_path / "history.jsonl"
    rows = [
        {"problem_id": "a", "success_rates": [0, 0.25, None]},
        {"problem_id": 7, "success_rates": [1]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = np.array([[1.0, np.nan, np.nan], [0.0, 0.25, np.nan]])
    np.testing.assert_array_equal(read_history(path).rates(["7", "a"]), expected)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"problem_id": "a", "success_rates": [1, 2]},
            "(?s)row 1 of .*the success rate 2.*from 0 to 1",
        ),
        ({"problem_id": "a", "rates": [1]}, "row 1 of"),
        ({"problem_id": "b", "success_rates": [1]}, "no success rate of any problem"),
    ],
)
def test_files_that_do_not_serve(tmp_path, row, words):
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(LearnAlignError, match=words):
        read_history(path).rates(["a"])


def test_a_folder_that_is_no_training(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.locked():
        folder.begin("problems", {})
    with pytest.raises(LearnAlignError, match="has no history of a training"):
        read_history(tmp_path).rates(["a"])


# --- the rollouts that another trainer left behind

#: Rewards by step and problem, as verl's files have them: steps 9 and 10 sort as numbers.
DUMP: dict[int, dict[str, list[float]]] = {
    9: {"0+0": [0, 0, 1, 0], "0+1": [1, 1]},
    10: {"0+0": [1, 0]},
    2: {"0+0": [0, 0], "0+2": [1, 0, 1, 0]},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = digits_model(tmp_path_factory.mktemp("digits"))
    return load_tokenizer(ModelConfig(path=str(folder)))


@pytest.fixture
def join(tmp_path: Path, tokenizer: Any) -> Join:
    data = digits_data(tmp_path / "pool.jsonl", count=4).read_text().splitlines()
    rows = [
        {
            "problem_id": row["id"],
            "prompt": row["question"],
            "prompt_ids": tokenizer(row["question"])["input_ids"],
            "messages": [{"role": "user", "content": row["question"]}],
        }
        for row in map(json.loads, data)
    ]
    return Join([pa.Table.from_pylist(rows, schema=PROBLEMS)], tokenizer)


def _verl(folder: Path, dump: dict[int, dict[str, list[Any]]]) -> Path:
    folder.mkdir()
    for step, groups in dump.items():
        rows = [
            {"input": f"{name}=", "output": "1", "gts": "1", "score": score, "step": step}
            for name, scores in groups.items()
            for score in scores
        ]
        (folder / f"{step}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_of_a_trainers_rollouts(tmp_path: Path, join: Join) -> None:
    """Each problem's groups by their steps, and what was left out."""
    dump = DUMP | {11: {"9+9": [1.0], "0+1": [None]}}
    history = read_history(_verl(tmp_path / "dump", dump), lambda: join)
    nan = np.nan
    np.testing.assert_array_equal(
        history.rates(["0+0", "0+1", "0+2", "0+3"]),
        [[0.0, 0.25, 0.5], [1.0, nan, nan], [0.5, nan, nan], [nan] * 3],
    )
    steps = [[(i, one.step, one.success_rate, one.num_rollouts) for i, one in step]
             for step in history.steps(["0+1", "0+0"])]  # fmt: skip
    assert steps == [
        [(1, 2, 0.0, 2)],
        [(0, 9, 1.0, 2), (1, 9, 0.25, 4)],
        [(1, 10, 0.5, 2)],
    ]
    assert history.warnings == (
        "--history: 1 of 16 recorded rollouts match no problem of the pool and were left out",
        "--history: 1 of 16 recorded rollouts have no reward: a verifier judges them, and a "
        "history leaves them out",
    )


def test_of_counts_with_steps(tmp_path: Path, join: Join) -> None:
    path = tmp_path / "counts.jsonl"
    rows = [{"problem_id": "0+0", "num_correct": k, "num_rollouts": 8, "step": k} for k in (4, 2)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read_history(path, lambda: join).rates(["0+0"]).tolist() == [[0.25, 0.5]]


def test_rollouts_without_steps_or_rewards_are_no_history(tmp_path: Path, join: Join) -> None:
    path = tmp_path / "rollouts.jsonl"
    path.write_text('{"problem_id": "0+0", "completion": "1", "reward": 1}')
    with pytest.raises(LearnAlignError, match="no step of a training with rewards"):
        read_history(path, lambda: join)
    with pytest.raises(LearnAlignError, match="no step of a training with rewards"):
        read_history(_verl(tmp_path / "dump", {3: {"0+0": [None]}}), lambda: join)


def test_rewards_of_another_scale(tmp_path: Path, join: Join) -> None:
    dump = _verl(tmp_path / "dump", {1: {"0+0": [1, -1, 1, 1]}})
    with pytest.raises(LearnAlignError, match=r"(?s)1.jsonl, line 2: the reward is -1.*scale"):
        read_history(dump, lambda: join)
    history = read_history(dump, lambda: join, scale=(-1, 1))
    assert history.rates(["0+0"]).tolist() == [[0.75]]


def test_a_problem_has_one_history(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"problem_id": "a", "success_rates": [1]}\n' * 2)
    with pytest.raises(LearnAlignError, match=r"row 2 of .* has the problem 'a' a second time"):
        read_history(path)
