"""Figures for print: their numbers are those of the tables, and the files are what they say."""

import csv
import json
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from scipy.stats import spearmanr

from helpers.command_line import call
from helpers.run_folder import write_run
from helpers.synthetic_run import synthetic_run
from learnalign.config.load import load_config
from learnalign.runs.folder import RunFolder
from learnalign.storage.sketch_column import from_column
from learnalign.terminal.progress import Progress
from learnalign.workflows.compare import compare

QUIET = Progress("none")
COUNT, BUDGET = 150, 30


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = synthetic_run(num_problems=COUNT, budget=BUDGET)
    return write_run(tmp_path_factory.mktemp("plot") / "run", data)


@pytest.fixture(scope="module")
def figures(run: Path) -> Path:
    done = call("plot", str(run), "--format", "svg", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["left_out"] == {}
    assert len(told["paths"]) == 10
    return run / "figures"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scores(run: Path) -> dict[str, dict]:
    return {row["problem_id"]: row for row in RunFolder(run).scores().to_pylist()}


def test_rates_are_counted(run: Path, figures: Path) -> None:
    rows, known = table(figures / "rates.csv"), scores(run).values()
    assert sum(int(row["pool"]) for row in rows) == COUNT
    assert sum(int(row["chosen"]) for row in rows) == BUDGET
    for row in rows:
        low, high = float(row["from"]), float(row["to"])
        inside = [one for one in known if low <= one["success_rate"] < high]
        assert int(row["pool"]) == len(inside)
        assert int(row["chosen"]) == sum(one["selected"] for one in inside)


def test_lengths_are_those_of_problems_with_a_signal(run: Path, figures: Path) -> None:
    rows, known = table(figures / "lengths.csv"), scores(run)
    assert {row["problem_id"] for row in rows} == {
        name for name, one in known.items() if 0.0 < one["success_rate"] < 1.0
    }
    for row in rows:
        own = known[row["problem_id"]]
        for key in ("mean_response_tokens", "gradient_norm", "score"):
            assert float(row[key]) == own[key]
        assert row["selected"] == str(own["selected"]).lower()
    rho = spearmanr(*([float(r[k]) for r in rows] for k in ("mean_response_tokens", "score")))
    shown = "".join((figures / "lengths.svg").read_text())
    assert f"rho = {rho.statistic:.2f}, n = {len(rows):,}" in shown


def test_stability_is_that_of_the_scores(run: Path, figures: Path) -> None:
    rows, known = table(figures / "stability.csv"), scores(run)
    assert [int(row["rank"]) for row in rows] == list(range(1, COUNT + 1))
    assert all(float(row["stability"]) == known[row["problem_id"]]["stability"] for row in rows)


def test_rules_overlap_as_compare_says(run: Path, figures: Path, tmp_path: Path) -> None:
    rows = table(figures / "compare.csv")
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    assert {"learnalign", "learnability", "diverse", "random"} <= set(rules)
    config = load_config(run / "config.yaml", overrides={"run.out": str(run)})
    done = compare([config], rules, out=tmp_path, progress=QUIET)
    shares = np.array([float(row["share"]) for row in rows]).reshape(len(rules), -1)
    assert shares == pytest.approx(np.array(done.overlaps))
    assert {row["chosen"] for row in rows} == {str(BUDGET)}


def test_the_map_is_made_of_principal_components(run: Path, figures: Path) -> None:
    rows, known = table(figures / "map.csv"), scores(run)
    gradients = RunFolder(run).table("gradients")
    sketches, _ = from_column(gradients["sketch"])
    unit = dict(zip(gradients["problem_id"].to_pylist(), sketches, strict=True))
    placed = [row for row in rows if row["in_strip"] == "false"]
    assert len(rows) == COUNT
    assert all(
        float(row["success rate"]) == known[row["problem_id"]]["success_rate"] for row in rows
    )
    assert {row["problem_id"] for row in placed} == {
        name for name, one in known.items() if one["learnability"] > 0
    }
    vectors = np.array([unit[row["problem_id"]] for row in placed], dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    components = np.linalg.svd(vectors - vectors.mean(axis=0))[0]
    for axis, number in (("x", 0), ("y", 1)):
        shown = [float(row[axis]) for row in placed]
        assert abs(np.corrcoef(shown, components[:, number])[0, 1]) > 0.9999


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_files_are_what_they_say_and_repeat_themselves(
    run: Path, tmp_path: Path, kind: str
) -> None:
    flags = ["--format", kind, "--width", "4", "--figure", "map", "--figure", "rates"]
    for out in ("one", "two"):
        assert call("plot", str(run), *flags, "--out", str(tmp_path / out)).returncode == 0
    for path in sorted((tmp_path / "one").glob(f"*.{kind}")):
        data = path.read_bytes()
        assert data == (tmp_path / "two" / path.name).read_bytes(), path.name
        assert width_of(kind, data) == pytest.approx(4.0, abs=0.01)
    assert len(list((tmp_path / "one").iterdir())) == 4


def width_of(kind: str, data: bytes) -> float:
    """The width of a figure, in inches."""
    if kind == "svg":
        root = ElementTree.fromstring(data)
        assert root.tag.endswith("svg")
        return float(root.attrib["width"].removesuffix("pt")) / 72
    if kind == "png":
        Image.open(BytesIO(data)).verify()
        return Image.open(BytesIO(data)).width / 300
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    return float(data.split(b"/MediaBox [ 0 0 ")[1].split()[0]) / 72


@pytest.mark.parametrize("colour", ["source", "num_wrong"])
def test_every_value_may_colour_the_map(run: Path, tmp_path: Path, colour: str) -> None:
    flags = ["--figure", "map", "--colour", colour, "--out", str(tmp_path), "--format", "svg"]
    assert call("plot", str(run), *flags).returncode == 0
    rows = table(tmp_path / "map.csv")
    if colour == "source":
        known = scores(run)
        assert all(row["source"] == known[row["problem_id"]]["source"] for row in rows)


def test_what_a_run_lacks_is_left_out_or_an_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", synthetic_run(num_problems=30, budget=6, stability=False))
    done = call("plot", str(run))
    assert done.returncode == 0
    assert "stability is left out: the run has no bootstrap" in done.stderr
    assert not (run / "figures" / "stability.pdf").exists()
    done = call("plot", str(run), "--figure", "stability")
    assert done.returncode == 2
    assert f"learnalign score {run} --num-bootstrap" in done.stderr
    done = call("plot", str(run), "--figure", "map", "--colour", "sucess_rate")
    assert done.returncode == 2
    assert "the nearest is 'success_rate'" in done.stderr


def test_without_matplotlib_it_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = call("plot", str(run), "--figure", "rates", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "pip install 'learnalign[plot]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_strip_says_what_its_problems_lack(run: Path, figures: Path, tmp_path: Path) -> None:
    """By gradient in one run; a run without gradients is placed by words, and one has none."""
    without = sum(row["in_strip"] == "true" for row in table(figures / "map.csv"))
    assert f"<!-- strip: {without} problems without a gradient -->" in texts_of(figures)
    data = synthetic_run(num_problems=30, budget=6)
    rows = data.problems.to_pylist()
    rows[0]["messages"] = [{"role": "user", "content": ""}]
    problems = pa.Table.from_pylist(rows, data.problems.schema)
    wordless = write_run(tmp_path / "run", replace(data, problems=problems))
    folder = RunFolder(wordless)
    with folder.locked():
        del folder.manifest.stages["gradients"]
        folder.save()
    assert call("plot", str(wordless), "--format", "svg", "--figure", "map").returncode == 0
    words = "strip: 1 problem without words that tell them apart"
    assert f"<!-- {words} -->" in texts_of(wordless / "figures")


def texts_of(figures: Path) -> str:
    """The map as SVG, whose outlines of letters have the text as comments."""
    return (figures / "map.svg").read_text()


def test_earlier_figures_are_replaced(run: Path, tmp_path: Path) -> None:
    for kind in ("svg", "png", "pdf", "pdf"):
        flags = ["--figure", "rates", "--format", kind, "--out", str(tmp_path)]
        assert call("plot", str(run), *flags).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "rates.csv",
        "rates.pdf",
        "rates.png",
        "rates.svg",
    ]


@pytest.mark.parametrize("name", ["rates.csv", "rates.pdf", "rates.csv/notes.txt"])
def test_other_files_stay_as_they_are(run: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("mine")
    flags = ["--figure", "lengths", "--figure", "rates", "--out", str(tmp_path)]
    done = call("plot", str(run), *flags)
    assert done.returncode == 2
    assert f"{tmp_path / name.split('/')[0]} exists and is not a figure" in done.stderr
    assert "choose another folder with --out" in done.stderr
    assert other.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]
    # Figures of other names can still be drawn beside it.
    assert call("plot", str(run), *flags[:2], *flags[4:]).returncode == 0
    assert other.read_text() == "mine"
