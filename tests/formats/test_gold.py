"""The exported recipe rewards the gold that the problems were selected with."""

import importlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign import load_config
from learnalign.config import DataConfig
from learnalign.formats.export import export
from learnalign.formats.recipes import trl_recipe, verl_recipe
from learnalign.problems.pool import read_pool
from learnalign.tables import PROBLEMS, SCORES

CONFIG = load_config(overrides={"model.path": "m", "verifier.kind": "number"})
#: Rows, a right answer and a wrong one, as several verifiers would judge them.
EXPRESSIONS = [
    ({"question": "1/2 + 1/4?", "answer": "\\frac{3}{4}"}, "It is 0.75.", "It is 0.8."),
    ({"question": "6 * 7?", "answer": "42", "metadata": {"level": 2}}, "So 42.", "So 24."),
]
CHOICE_AND_WORDS = [
    (
        {"question": "Which is even?\n(A) 3\n(B) 8\n(C) 5", "answer": "B"},
        "It is (B).",
        "It is (C).",
    ),
    ({"question": "Is 7 prime? Answer yes or no.", "answer": "yes"}, "Answer: Yes", "Answer: No"),
]


def exported(tmp_path, kind, rows, *, overwrite_gold=True, parquet=False, **data):
    """Read rows as a selection does, select them all, and export them."""
    path = tmp_path / ("data.parquet" if parquet else "data.jsonl")
    if parquet:
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = read_pool(DataConfig(paths=(str(path),), **data))
    assert len(pool.problems) == len(rows)
    problems = [p | {"prompt": f"<user>{p['messages'][-1]['content']}"} for p in pool.problems]
    scores = [
        {"problem_id": p["problem_id"], "rank": rank, "selected": True, "position": p["position"]}
        for rank, p in enumerate(pool.problems, 1)
    ]
    done = export(
        tmp_path / "out",
        kind,
        problems=lambda: [pa.Table.from_pylist(problems, schema=PROBLEMS)],
        scores=pa.Table.from_pylist(scores, schema=SCORES),
        sources=pool.originals.get,
        about={},
        order="pool",
        control=False,
        overwrite_gold=overwrite_gold,
    )
    return done, done.paths[0]


def generated():
    """Give rows of two generators, whose metadata have other fields, and answers to them."""
    gym = pytest.importorskip("reasoning_gym")
    made = [gym.create_dataset(name, size=1, seed=5)[0] for name in ("chain_sum", "gcd")]
    return [(entry, entry["answer"], "no idea") for entry in made]


def trl_rewards(path, texts, reward="number"):
    """Load the file as `trl grpo` does, and call the recipe's function as its trainer does."""
    trl = pytest.importorskip("trl")
    recipe = trl_recipe(CONFIG, path, reward=reward, batch_size=2)
    loaded = trl.get_dataset(trl.DatasetMixtureConfig(datasets=recipe["datasets"]))["train"]
    module, _, name = recipe["reward_funcs"][0].rpartition(".")
    columns = {n: loaded[n] for n in loaded.column_names if n not in {"prompt", "completion"}}
    function = getattr(importlib.import_module(module), name)
    return function(prompts=loaded["prompt"], completions=texts, **columns), loaded


def verl_rewards(path, texts, reward="number"):
    """Score each row as verl's reward manager does, with the recipe's function and arguments."""
    script = verl_recipe(CONFIG, path, reward=reward, longest=9, batch_size=2)
    assert "reward.custom_reward_function.name=compute_score" in script
    function = importlib.import_module("learnalign.verifying.rewards").compute_score
    rows = pq.read_table(path).to_pylist()
    return [
        function(
            row["data_source"],
            text,
            row["reward_model"]["ground_truth"],
            row["extra_info"],
            kind=reward,
        )
        for row, text in zip(rows, texts, strict=True)
    ], rows


def test_the_answer_counts_where_a_solution_says_something_else(tmp_path):
    rows = [
        {"question": "Half of 26?", "answer": "13", "solution": "We take 26 by two, see p. 4"},
        {"question": "3 * 9?", "answer": "27", "solution": "27"},
    ]
    done, path = exported(tmp_path, "trl", rows)
    rewards, loaded = trl_rewards(path, ["13", "27"])
    assert rewards == [1.0, 1.0]
    assert trl_rewards(path, ["4", "9"])[0] == [0.0, 0.0]
    assert loaded["solution"] == ["13", "27"]
    assert loaded["learnalign_own_solution"] == [rows[0]["solution"], None]
    assert any("was not the gold used for the selection" in text for text in done.warnings)


def auto_rewards(tmp_path, kind, cases):
    """Export a mixed pool; give the recipe's rewards of right answers, and of wrong ones."""
    rows, right, wrong = map(list, zip(*cases, strict=True))
    _, path = exported(tmp_path, kind, rows)
    rewarded = trl_rewards if kind == "trl" else verl_rewards
    return rewarded(path, right, "auto")[0], rewarded(path, wrong, "auto")[0]


@pytest.mark.parametrize("kind", ["trl", "verl"])
def test_auto_rewards_each_problem_by_the_verifier_that_judged_it(tmp_path, kind):
    right, wrong = auto_rewards(tmp_path, kind, [*generated(), *EXPRESSIONS])
    assert right == [1.0] * 4
    assert max(wrong) < 0.5


@pytest.mark.parametrize("kind", ["trl", "verl"])
def test_auto_rewards_choices_and_words_among_numbers(tmp_path, kind):
    right, wrong = auto_rewards(tmp_path, kind, [*CHOICE_AND_WORDS, *EXPRESSIONS])
    assert right == [1.0] * 4
    assert wrong == [0.0] * 4


def test_the_column_that_was_named_counts(tmp_path):
    rows = [{"question": "6 + 8?", "gold": {"final": 14}, "solution": "15"}]
    done, path = exported(tmp_path, "trl", rows, answer_column="gold.final")
    assert trl_rewards(path, ["14"])[0] == [1.0]
    assert len(done.warnings) == 1


@pytest.mark.parametrize("solution", ["14", " 14", 14, 14.0])
def test_a_solution_that_was_selected_with_stays(tmp_path, solution):
    rows = [{"question": "6 + 8?", "solution": solution}]
    done, path = exported(tmp_path, "trl", rows)
    (row,) = map(json.loads, path.read_text().splitlines())
    assert row["solution"] == solution
    assert type(row["solution"]) is type(solution)
    assert "learnalign_own_solution" not in row
    assert done.warnings == []


def test_solutions_of_several_types_load_as_one(tmp_path):
    rows = [
        {"question": "6 + 8?", "answer": 14, "solution": 14},
        {"question": "6 + 9?", "answer": 15, "solution": {"steps": ["6 + 9"], "result": 16}},
        {"question": "6 + 7?", "answer": 13, "solution": None},
    ]
    done, path = exported(tmp_path, "trl", rows)
    rewards, loaded = trl_rewards(path, ["14", "15", "13"])
    assert rewards == [1.0] * 3
    own = loaded["learnalign_own_solution"]
    assert json.loads(own[1]) == rows[1]["solution"]
    assert len(done.warnings) == 1


def test_a_worked_solution_gives_way_to_its_own_answer_without_a_warning(tmp_path):
    rows = [{"question": "6 + 8?", "solution": "6 + 8 = 14, of 2 numbers\n#### 14"}]
    done, path = exported(tmp_path, "trl", rows)
    assert trl_rewards(path, ["14"])[0] == [1.0]
    assert json.loads(path.read_text())["learnalign_own_solution"] == rows[0]["solution"]
    assert done.warnings == []
    assert any("the bare gold answer" in hint for hint in done.hints)


def test_a_function_of_the_users_reads_the_rows_as_the_selection_did(tmp_path):
    rows = [{"question": "6 + 8?", "answer": "14", "solution": {"a": 6, "b": 8}}]
    done, path = exported(tmp_path, "trl", rows, overwrite_gold=False)
    assert json.loads(path.read_text())["solution"] == {"a": 6, "b": 8}
    assert done.warnings == []


def verl_row(truth, **extra):
    return {
        "data_source": "sums",
        "prompt": [{"role": "user", "content": f"What is it? {extra}"}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"index": 0, **extra},
    }


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize("truths", [("8", "21"), (8, 20)])
def test_verls_ground_truth_is_the_gold_that_was_named(tmp_path, parquet, truths):
    rows = [verl_row(t, answer=a) for t, a in zip(truths, ("8", "21.5"), strict=True)]
    done, path = exported(
        tmp_path, "verl", rows, parquet=parquet, answer_column="extra_info.answer"
    )
    rewards, written = verl_rewards(path, ["8", "21.5"])
    assert rewards == [1.0, 1.0]
    assert [row["reward_model"]["learnalign_own_ground_truth"] for row in written] == list(truths)
    assert [row["reward_model"]["style"] for row in written] == ["rule", "rule"]
    assert [row["extra_info"]["answer"] for row in written] == ["8", "21.5"]
    assert any("reward_model.ground_truth" in text for text in done.warnings)


@pytest.mark.parametrize("truth", ["8", 8, ["8"]])
def test_verls_ground_truth_that_was_selected_with_stays(tmp_path, truth):
    rows = [verl_row(truth, n=1)]
    done, path = exported(tmp_path, "verl", rows, parquet=True)
    (written,) = pq.read_table(path).to_pylist()
    assert written["reward_model"] == {"style": "rule", "ground_truth": truth}
    assert done.warnings == []
