"""What the page is made of: fields and texts as in the tables, ranks as `compare`'s."""

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from helpers.run_folder import write_audit, write_run, write_training
from helpers.synthetic_run import synthetic_run
from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.exploring.fields import Field
from learnalign.exploring.pool import Pool
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Progress
from learnalign.workflows.compare import compare
from learnalign.workflows.explore import explore
from learnalign.workflows.explored_pool import read_pool

QUIET = Progress("none")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = synthetic_run(num_problems=90, budget=20)
    return write_run(tmp_path_factory.mktemp("pool") / "run", data)


@pytest.fixture(scope="module")
def pool(run: Path) -> Pool:
    return read_pool([run], with_umap=False, progress=QUIET)


def test_numbers_are_those_of_the_tables(run: Path, pool: Pool) -> None:
    rows = {row["problem_id"]: row for row in RunFolder(run).scores().to_pylist()}
    assert sorted(pool.ids) == sorted(rows)
    fields = {field.key: field for field in pool.runs[0].fields}
    for key in ("success_rate", "learnability", "alignment", "rank", "mean_response_tokens"):
        assert fields[key].values.tolist() == [rows[name][key] for name in pool.ids]
    for key in ("source", "difficulty"):
        named = [fields[key].names[code] for code in fields[key].values]
        assert named == [rows[name][key] for name in pool.ids]
    verdicts = RunFolder(run).table("verdicts").to_pylist()
    for number, name in enumerate(pool.ids):
        kinds = [row["verdict"] for row in verdicts if row["problem_id"] == name]
        assert fields["num_wrong"].values[number] == kinds.count("wrong")


@pytest.mark.parametrize("budget", [1, 13, 40])
def test_rules_choose_what_compare_chooses(
    run: Path, pool: Pool, budget: int, tmp_path: Path
) -> None:
    config = load_config(
        run / "config.yaml", overrides={"run.out": str(run), "selection.budget": budget}
    )
    methods = list(pool.runs[0].ranks)
    shown = {"signal", "learnalign", "learnability", "alignment", "inner_product", "band", "random"}
    assert set(methods) == shown
    done = compare([config], methods, out=tmp_path / "compare", progress=QUIET)
    for choice in done.choices:
        ranks = pool.runs[0].ranks[choice.method]
        chosen = [pool.ids[i] for i in np.argsort(ranks) if 0 < ranks[i] <= budget]
        assert chosen == choice.problem_ids


def test_problems_without_a_gradient_lie_beside_the_map(run: Path, pool: Pool) -> None:
    statuses = {
        row["problem_id"]: row["status"] == "ok"
        for row in RunFolder(run).table("gradients").select(["problem_id", "status"]).to_pylist()
    }
    by_gradient, by_text = pool.runs[0].layouts
    assert by_gradient.placed.tolist() == [statuses[name] for name in pool.ids]
    assert (by_gradient.points[~by_gradient.placed, 1] < -1.2).all()
    assert np.isfinite(by_gradient.points).all()
    assert by_text.key == "text-pca"


def test_texts_are_those_of_the_run(run: Path, pool: Pool) -> None:
    blocks = {name: json.loads(gzip.decompress(block)) for name, block in pool.texts()}
    view = pool.runs[0]
    folder = RunFolder(run)
    problems = {row["problem_id"]: row for row in folder.table("problems").to_pylist()}
    rollouts = folder.table("rollouts").to_pylist()
    for number in (0, 31, 32, 89):
        row, name = view.rows[number], pool.ids[number]
        assert blocks[f"0-prompts-{row // 1000}"][row % 1000] == problems[name]["prompt"]
        texts = blocks[f"0-rollouts-{row // 32}"][row % 32]
        assert texts["answer"] == problems[name]["answer"]
        own = [one["completion"] for one in rollouts if one["problem_id"] == name]
        assert [one["completion"] for one in texts["attempts"]] == own


def test_two_runs_share_their_problems(run: Path, tmp_path: Path) -> None:
    later = synthetic_run(num_problems=70, budget=20, seed=3)
    other = write_run(tmp_path / "later", later, seed=1)
    both = read_pool([run, other], with_umap=False, progress=QUIET)
    one, two = both.runs
    assert len(both.ids) == len(set(both.ids))
    assert set(later.problems["problem_id"].to_pylist()) == {
        name for name, row in zip(both.ids, two.rows, strict=True) if row >= 0
    }
    assert (one.rows >= 0).sum() == 90
    rates = {f.key: f.values for f in two.fields}["success_rate"]
    known = dict(
        zip(
            later.scores["problem_id"].to_pylist(),
            later.scores["success_rate"].to_pylist(),
            strict=True,
        )
    )
    for name, rate in zip(both.ids, rates, strict=True):
        assert rate == known[name] if name in known else np.isnan(rate)
    assert np.isnan(two.layouts[0].points[two.rows < 0]).all()


def test_what_another_run_has_counts_for_none(run: Path, tmp_path: Path) -> None:
    """No rollout of a problem was wrong in a run that does not have it, and none was met."""
    other = write_run(tmp_path / "few", synthetic_run(num_problems=30, budget=5))
    write_audit(other, [{"kind": "copies", "problem_id": "addition-0003", "score": 1.0}])
    trained = write_training(tmp_path / "trained", {"product-0001": {2: [0, 1]}})
    two = read_pool([run, other, trained], with_umap=False, progress=QUIET).runs[1]
    absent = two.rows < 0
    assert absent.sum() == 60
    for field in two.fields:
        if field.kind == "number":
            assert np.isnan(field.values[absent]).all(), field.key
        else:
            assert (field.values[absent] == -1).all(), field.key
            used = {field.names[code] for code in field.values[~absent]}
            assert "not given" not in used, field.key
            assert "not given" not in field.names, field.key


def fields_of(pool: Pool, run: int = 0) -> dict[str, Field]:
    return {field.key: field for field in pool.runs[run].fields}


def test_what_an_audit_found_is_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", synthetic_run(num_problems=40, budget=9))
    assert "audit" not in fields_of(read_pool([run], with_umap=False, progress=QUIET))
    found = [
        ("wrong-gold", "addition-0003", 0.9),
        ("wrong-gold", "product-0010", 0.6),
        ("copies", "product-0010", 1.0),
        ("copies", "gone-001", 1.0),
    ]
    keys = ("kind", "problem_id", "score")
    rows = [dict(zip(keys, one, strict=True)) | {"evidence": f"about {one[1]}"} for one in found]
    write_audit(run, rows)
    pool = read_pool([run], with_umap=False, progress=QUIET)
    fields = fields_of(pool)
    assert fields["audit"].names == ("wrong-gold", "wrong-gold and copies", "no finding")
    said = dict(zip(pool.ids, fields["audit"].values.tolist(), strict=True))
    assert {name: code for name, code in said.items() if code < 2} == {
        "addition-0003": 0,
        "product-0010": 1,
    }
    scores = dict(zip(pool.ids, fields["audit_wrong-gold"].values, strict=True))
    assert {name: score for name, score in scores.items() if score >= 0} == {
        "addition-0003": 0.9,
        "product-0010": 0.6,
    }
    assert "audit_guessable" not in fields
    blocks = {name: json.loads(gzip.decompress(block)) for name, block in pool.texts()}
    row = pool.runs[0].rows[pool.ids.index("product-0010")]
    assert blocks[f"0-rollouts-{row // 32}"][row % 32]["findings"] == [
        {"kind": "wrong-gold", "evidence": "about product-0010"},
        {"kind": "copies", "evidence": "about product-0010"},
    ]


def test_trainings_say_when_they_met_a_problem(run: Path, tmp_path: Path) -> None:
    first = {"addition-0000": {0: [1, 0], 3: [1, 1]}, "product-0001": {2: [0, 0]}, "gone": {0: [1]}}
    second = {"product-0001": {1: [1, 0, 0, 0]}, "addition-0003": {0: [0, 0]}}
    trainings = [write_training(tmp_path / n, r) for n, r in (("one", first), ("two", second))]
    pool = read_pool([*trainings, run], with_umap=False, progress=QUIET)
    fields, place = fields_of(pool), pool.ids.index
    assert fields["met"].names == ("one", "two", "never")
    met = [fields["met"].names[code] for code in fields["met"].values]
    assert [met[place(name)] for name in ("addition-0000", "product-0001", "addition-0003")] == [
        "one",
        "one",
        "two",
    ]
    assert met.count("never") == 90 - 3
    assert fields["met_0"].values[place("addition-0000")] == 1
    assert fields["last_0"].values[place("addition-0000")] == 1.0
    assert fields["met_1"].values[place("product-0001")] == 2
    assert fields["last_1"].values[place("product-0001")] == 0.25
    assert np.isnan(fields["met_1"].values[place("addition-0000")])
    history = pool.histories
    assert history is not None
    own = slice(history.begins[place("product-0001")], history.begins[place("product-0001") + 1])
    assert history.training[own].tolist() == [0, 1]
    assert history.step[own].tolist() == [2, 1]
    assert history.success_rate[own].tolist() == [0.0, 0.25]


def test_a_folder_of_stages_is_its_runs(tmp_path: Path) -> None:
    folder = tmp_path / "stages"
    for number in (1, 2):
        data = synthetic_run(num_problems=30, budget=6, seed=number)
        write_run(folder / f"stage-{number}" / "selection", data, seed=number)
        trained = {data.scores["problem_id"][number].as_py(): {0: [1, 0]}}
        write_training(folder / f"stage-{number}" / "training", trained)
    (folder / "stages.json").write_text("[{}, {}]")
    pool = read_pool([folder], with_umap=False, progress=QUIET)
    assert [one.name for one in pool.runs] == ["stage-1/selection", "stage-2/selection"]
    assert fields_of(pool)["met"].names == ("stage-1/training", "stage-2/training", "never")
    done = explore([folder], progress=QUIET)
    assert done.path == folder / "explore.html"
    assert done.runs == [folder / f"stage-{number}" / "selection" for number in (1, 2)]


def test_a_folder_without_scores_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LearnAlignError, match="select"):
        read_pool([tmp_path], with_umap=False, progress=QUIET)


def test_what_is_not_of_the_pool_is_an_error(run: Path, tmp_path: Path) -> None:
    trained = write_training(tmp_path / "trained", {"of another pool": {0: [1, 0]}})
    with pytest.raises(LearnAlignError, match="trained has no problem in common"):
        read_pool([run, trained], with_umap=False, progress=QUIET)
    data = synthetic_run(num_problems=4, budget=1)
    parts = {}
    for name in ("problems", "rollouts", "verdicts", "scores"):
        table = getattr(data, name)
        ids = pa.array([f"of another pool, {one}" for one in table["problem_id"].to_pylist()])
        parts[name] = table.set_column(
            table.schema.get_field_index("problem_id"), "problem_id", ids
        )
    other = write_run(tmp_path / "other", dataclasses.replace(data, **parts))
    with pytest.raises(LearnAlignError, match="other has no problem in common"):
        read_pool([run, other], with_umap=False, progress=QUIET)


@pytest.mark.parametrize("text", ["[1,", '{"stage": 1}'])
def test_a_broken_list_of_stages_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "stages.json").write_text(text)
    with pytest.raises(LearnAlignError, match="not a list of finished stages"):
        read_pool([tmp_path], with_umap=False, progress=QUIET)


@pytest.mark.slow
def test_umap_adds_a_map_that_repeats_itself(run: Path) -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    one, other = (read_pool([run], with_umap=True, progress=QUIET).runs[0] for _ in range(2))
    keys = ["gradients-umap", "gradients-pca", "text-umap", "text-pca"]
    assert [layout.key for layout in one.layouts] == keys
    for mine, its in zip(one.layouts, other.layouts, strict=True):
        assert (mine.points == its.points).all()
    # Problems of one source, whose gradients point the same way, lie together.
    first, placed = one.layouts[0], one.layouts[0].placed
    sources = {field.key: field for field in one.fields}["source"].values
    own = [first.points[placed & (sources == code)] for code in range(3)]
    spread = max(float(np.median(np.ptp(np.percentile(p, [25, 75], axis=0), axis=0))) for p in own)
    middles = np.array([np.median(points, axis=0) for points in own])
    apart = [np.linalg.norm(middles[i] - middles[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(apart) > 2 * spread
