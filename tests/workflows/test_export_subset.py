"""``export --subset``: a subset that a person made on the page, in every trainer's format."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from helpers.command_line import call
from helpers.run_folder import write_run
from helpers.synthetic_run import synthetic_run
from learnalign.exploring.subsets import save_subset
from learnalign.formats.export import FORMATS
from learnalign.runs.folder import RunFolder

IDS = ["product-0010", "addition-0003", "greatest-0002", "addition-0021"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return write_run(folder / "run", synthetic_run(num_problems=40, budget=9))


@pytest.fixture(scope="module")
def subset(run: Path) -> str:
    view = "r.success_rate=0.5.."
    request = {"kind": "learnalign subset", "name": "mine", "view": view, "problem_ids": IDS}
    return str(save_subset([run], request | {"run": str(run)})["path"])


def exported(path: Path) -> list[str]:
    if path.suffix == ".txt":
        return path.read_text().splitlines()
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [str(found(row, "learnalign_problem_id")) for row in rows]


def found(row: object, name: str) -> object:
    """A value of that name, wherever a trainer's row has it."""
    if isinstance(row, dict):
        values = [row[name]] if name in row else [found(one, name) for one in row.values()]
        return next((one for one in values if one is not None), None)
    return None


@pytest.mark.parametrize("kind", FORMATS)
def test_what_a_person_marked_goes_out_in_every_format(run: Path, subset: str, kind: str) -> None:
    done = call("export", str(run), "--as", kind, "--subset", subset, "--json")
    assert done.returncode == 0, done.stderr
    selected, control, manifest, *_ = map(Path, json.loads(done.stdout)["paths"])
    assert selected.parent == run / f"export-{kind}-mine"  # the selection's own export stays
    assert exported(selected) == IDS
    assert len(exported(control)) == len(IDS)
    told = json.loads(manifest.read_text())
    assert told["about"]["subset"] == {
        "name": subset,
        "made": "by hand",
        "view": "r.success_rate=0.5..",
    }
    assert told["counts"] == {"pool": 40, "selected": 4, "control": 4}


def test_pool_order_and_sizes(run: Path, subset: str) -> None:
    flags = ["--as", "ids", "--subset", subset, "--order", "pool", "--batch-size", "3"]
    done = call("export", str(run), *flags, "--json")
    told = json.loads(done.stdout)
    assert exported(Path(told["paths"][0])) == sorted(IDS, key=lambda name: int(name[-4:]))
    assert "a subset of 3 or 6" in told["warnings"][0]


def test_lists_that_compare_writes_and_the_named_subsets(run: Path, tmp_path: Path) -> None:
    (tmp_path / "best.txt").write_text("addition-0003\n\nproduct-0010\n")
    for subset, count in ((str(tmp_path / "best.txt"), 2), ("random", 9), ("all", 40)):
        done = call("export", str(run), "--as", "ids", "--subset", subset, "--json")
        path, _, manifest = map(Path, json.loads(done.stdout)["paths"])
        assert len(exported(path)) == count
        assert json.loads(manifest.read_text())["about"]["subset"] == {"name": subset}
    call("export", str(run), "--as", "ids")
    chosen = RunFolder(run).scores().to_pylist()[:9]
    assert exported(run / "export-ids" / "selected.txt") == [row["problem_id"] for row in chosen]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"nobody\n", "lists 1 problems that are not in"),
        (b"\n", "lists no problems"),
        (b'{"problem_ids": ["addition-0003"]}', "is not a subset"),
        (b"\xff\xfe", "is not a subset"),
        (None, "expected: selected, random, all or a file of ids"),
    ],
    ids=["unknown", "empty", "other", "bytes", "missing"],
)
def test_a_wrong_subset_writes_nothing(
    run: Path, tmp_path: Path, text: bytes | None, said: str
) -> None:
    path = tmp_path / "mine.txt"
    if text is not None:
        path.write_bytes(text)
    before = sorted(run.rglob("*"))
    done = call("export", str(run), "--as", "trl", "--subset", str(path))
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert sorted(run.rglob("*")) == before
