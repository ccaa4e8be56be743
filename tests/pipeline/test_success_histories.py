"""Success rates of an earlier training, from its folder and from files."""

import json

import numpy as np
import pytest

from learnalign.errors import LearnAlignError
from learnalign.pipeline.success_histories import read_history
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.tables import HISTORY


def test_of_a_training(tmp_path):
    import pyarrow as pa

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
    found = read_history(tmp_path, ["b", "unmet", "a"])
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
    np.testing.assert_array_equal(read_history(path, ["7", "a"]), expected)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"problem_id": "a", "success_rates": [2]}, "row 1 of .* from 0 to 1"),
        ({"problem_id": "a", "rates": [1]}, "row 1 of"),
        ({"problem_id": "b", "success_rates": [1]}, "no success rate of any problem"),
    ],
)
def test_files_that_do_not_serve(tmp_path, row, words):
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(LearnAlignError, match=words):
        read_history(path, ["a"])


def test_a_folder_that_is_no_training(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.locked():
        folder.begin("problems", {})
    with pytest.raises(LearnAlignError, match="has no history of a training"):
        read_history(tmp_path, ["a"])
