"""Files that were changed, cut, zeroed or swapped: said, with the file's name and the way out."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.digits import digits_folder
from helpers.kills import killed_at, one_thread
from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.terminal.progress import Progress
from learnalign.workflows.evaluate import evaluate
from learnalign.workflows.select import run
from learnalign.workflows.staged import run_staged
from learnalign.workflows.train import train
from runs.test_kills import configured, outcome

QUIET = Progress("none")


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def _zero(path: Path, rng: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _zero_end(path: Path, rng: random.Random) -> None:
    """As a power cut leaves what was not synced."""
    data = path.read_bytes()
    lost = min(len(data), 1000)
    path.write_bytes(data[:-lost] + bytes(lost))


FAULTS: list[Callable[[Path, random.Random], None]] = [_flip, _flip, _flip, _cut, _zero, _zero_end]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with one_thread():
        yield digits_folder(tmp_path_factory.mktemp("damage"), 5)


@pytest.fixture(scope="module")
def selected(place: Path) -> Path:
    run(configured(place, place / "selected"), progress=QUIET)
    return place / "selected"


@pytest.fixture
def damaged_copy(selected: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(selected, tmp_path / "copy"))


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_a_selection_never_changes_silently(
    fault: int, place: Path, selected: Path, tmp_path: Path
) -> None:
    """Whatever file was damaged, the verb that made the folder gives the same or names the file."""
    expected, rng = outcome(selected), random.Random(fault)
    inner = sorted(path.relative_to(selected) for path in selected.rglob("*") if path.is_file())
    for name in rng.sample(inner, 8):
        if name.name.startswith(".") or not (selected / name).stat().st_size:
            continue
        out = Path(shutil.copytree(selected, tmp_path / str(name)))
        FAULTS[fault](out / name, rng)
        if (out / name).read_bytes() == (selected / name).read_bytes():
            continue
        said = ""
        try:
            run(configured(place, out), progress=QUIET)
        except LearnAlignError as error:
            said = str(error)
        if said:
            assert str(out / name) in said
            assert "--redo" in said or name.name == "manifest.json"
        else:
            assert outcome(out) == expected, name
        shutil.rmtree(out)


@pytest.mark.parametrize("stage", ["problems", "rollouts", "verdicts", "gradients"])
def test_shards_that_changed_places_are_found_and_made_again(
    stage: str, place: Path, selected: Path, damaged_copy: Path
) -> None:
    first, second = (damaged_copy / stage / f"part-0000{i}.parquet" for i in range(2))
    data = first.read_bytes()
    shutil.copy(second, first)
    second.write_bytes(data)
    with pytest.raises(LearnAlignError, match=rf"(?s){stage}/part-0000.*--redo {stage} "):
        run(configured(place, damaged_copy), progress=QUIET)
    run(configured(place, damaged_copy), progress=QUIET, redo=stage)
    assert outcome(damaged_copy) == outcome(selected)


def test_problems_that_left_are_checked_too(damaged_copy: Path) -> None:
    folder = RunFolder(damaged_copy)
    with folder.locked():
        table = folder.read_shard("problems", 0)
        aside = table.slice(0, 1).select(["problem_id", "source_index", "source_row"])
        for name in ("stage", "reason", "detail"):
            aside = aside.append_column(name, [["x"]])
        folder.write_shard("problems", 0, table, seconds=0.0, excluded=aside)
    assert RunFolder(damaged_copy).excluded().num_rows == 1
    _flip(damaged_copy / "excluded" / "problems-00000.parquet", random.Random(0))
    with pytest.raises(
        LearnAlignError, match=r"(?s)excluded/problems-00000.parquet is not the file"
    ):
        RunFolder(damaged_copy).excluded()


def test_a_damaged_manifest_has_one_before_it(place: Path, damaged_copy: Path) -> None:
    expected = outcome(damaged_copy)
    manifest = damaged_copy / "manifest.json"
    text = manifest.read_text()
    assert '"rows": 3' in text
    for bad in (text.replace('"rows": 3', '"rows": 7', 1).encode(), b"\0" * 99, b"\xff\xfe", b""):
        manifest.write_bytes(bad)
        with pytest.raises(
            LearnAlignError, match=r"(?s)manifest\.json is not .*copy .*-before\.json"
        ):
            RunFolder(damaged_copy)
    shutil.copy(damaged_copy / ".manifest-before.json", manifest)
    run(configured(place, damaged_copy), progress=QUIET)
    assert outcome(damaged_copy) == expected


def test_a_ranking_that_is_not_the_last_is_not_handed_over(damaged_copy: Path) -> None:
    from learnalign.runs.folder import scored

    scores = damaged_copy / "scores.parquet"
    _flip(scores, random.Random(4))
    with pytest.raises(LearnAlignError, match=r"(?s)scores\.parquet is not .*learnalign score"):
        scored(damaged_copy).scores()


@pytest.fixture(scope="module")
def under_way(place: Path) -> Path:
    """A training that was killed after its second checkpoint was entered."""
    out = place / "under way"
    for n in range(80, 200, 4):
        shutil.rmtree(out, ignore_errors=True)
        killed_at(lambda: train(configured(place, out), progress=QUIET), out, n)
        if RunFolder(out, TRAINING_TABLES).num_shards("steps") == 2:
            return out
    raise AssertionError("never after two checkpoints")


@pytest.fixture(scope="module")
def trained(place: Path) -> dict[str, Any]:
    train(configured(place, place / "trained"), progress=QUIET)
    return outcome(place / "trained")


@pytest.mark.parametrize("fault", [_flip, _cut, _zero, _zero_end])
@pytest.mark.parametrize("file", ["weights", "moments"])
def test_a_damaged_checkpoint_offers_the_one_before(
    fault: Callable[[Path, random.Random], None],
    file: str,
    place: Path,
    under_way: Path,
    trained: dict[str, Any],
    tmp_path: Path,
) -> None:
    out = Path(shutil.copytree(under_way, tmp_path / "t"))
    fault(out / "checkpoints" / "step-4" / f"{file}.safetensors", random.Random(7))
    with pytest.raises(
        LearnAlignError, match=rf"(?s)step-4/{file}.*after step 2.*--redo checkpoint"
    ):
        train(configured(place, out), progress=QUIET)
    train(configured(place, out), progress=QUIET, redo="checkpoint")
    assert outcome(out) == trained


def test_checkpoints_that_changed_places(place: Path, under_way: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(under_way, tmp_path / "t"))
    folder = out / "checkpoints"
    for name, to in (("step-2", "x"), ("step-4", "step-2"), ("x", "step-4")):
        (folder / name).rename(folder / to)
    with pytest.raises(LearnAlignError, match=r"(?s)step-4/.* is not the file"):
        train(configured(place, out), progress=QUIET)
    # The one before is damaged too: what is left is to begin again, and it says so.
    with pytest.raises(LearnAlignError, match=r"(?s)step-2/.*--redo checkpoint"):
        train(configured(place, out), progress=QUIET, redo="checkpoint")


def test_a_finished_model_is_checked(place: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    out = Path(shutil.copytree(place / "trained", tmp_path / "t"))
    _flip(out / "model" / "model.safetensors", random.Random(0))
    with pytest.raises(LearnAlignError, match=r"(?s)model\.safetensors is not .*--redo history"):
        train(configured(place, out), progress=QUIET)
    with pytest.raises(LearnAlignError, match=r"(?s)got --redo checkpoint"):
        train(configured(place, out), progress=QUIET, redo="checkpoint")
    train(configured(place, out), progress=QUIET, redo="history")
    assert outcome(out) == trained


def test_redo_reaches_into_the_warm_up(place: Path, tmp_path: Path) -> None:
    config = configured(place, tmp_path / "w", selection__warmup=3, training__steps=2)
    run(config, progress=QUIET)
    expected = outcome(tmp_path / "w")
    shard = tmp_path / "w" / "warmup" / "steps" / "part-00000.parquet"
    _zero(shard, random.Random(0))
    with pytest.raises(LearnAlignError, match=r"(?s)warmup/steps/part.*--redo warmup/history"):
        run(config, progress=QUIET)
    for redo in ("warmup/history", "warmup"):
        run(config, progress=QUIET, redo=redo)
        assert outcome(tmp_path / "w") == expected
    with pytest.raises(LearnAlignError, match=r"(?s)got --redo warmup/rollouts"):
        run(config, progress=QUIET, redo="warmup/rollouts")
    with pytest.raises(LearnAlignError, match=r"(?s)without a warm-up"):
        run(configured(place, tmp_path / "w"), progress=QUIET, redo="warmup")


def test_redo_of_stages(place: Path, tmp_path: Path) -> None:
    more = {"training__steps": 2, "rollouts__num_rollouts": 12, "run__seed": 1}
    config = configured(place, tmp_path / "s", training__learning_rate=1e-4, **more)
    run_staged(config, progress=QUIET)
    expected = outcome(tmp_path / "s")
    _flip(tmp_path / "s/stage-1/training/history/part-00000.parquet", random.Random(0))
    _zero(tmp_path / "s/stage-2/selection/rollouts/part-00000.parquet", random.Random(0))
    for part in ("stage-1/training/history", "stage-2/selection/rollouts"):
        with pytest.raises(LearnAlignError, match=rf"(?s)--redo {part}"):
            run_staged(config, progress=QUIET)
        if part.startswith("stage-1"):
            run_stages_until(config, part)
    run_staged(config, progress=QUIET, redo="stage-2")
    assert outcome(tmp_path / "s") == expected
    for wrong in ("rollouts", "stage-3", "stage-1/rollouts", "stage-0", "stage-1/training"):
        with pytest.raises(LearnAlignError, match=rf"(?s)got --redo {wrong}"):
            run_staged(config, progress=QUIET, redo=wrong)


def run_stages_until(config: Any, redo: str) -> None:
    """Mend the first fault; the second is still there."""
    with pytest.raises(LearnAlignError, match=r"(?s)stage-2/selection/rollouts"):
        run_staged(config, progress=QUIET, redo=redo)


def test_an_evaluation_to_compare_with(place: Path, tmp_path: Path) -> None:
    pool = [str(place / "pool.jsonl")]
    config = configured(place, tmp_path / "e")
    done = evaluate(config, pool, progress=QUIET)
    _zero(tmp_path / "e/pool/pass-1/verdicts/part-00000.parquet", random.Random(0))
    with pytest.raises(LearnAlignError, match=r"(?s)--redo pool/pass-1/verdicts"):
        evaluate(config, pool, progress=QUIET)
    with pytest.raises(LearnAlignError, match=r"(?s)got --redo other/pass-1/verdicts"):
        evaluate(config, pool, progress=QUIET, redo="other/pass-1/verdicts")
    again = evaluate(config, pool, progress=QUIET, redo="pool/pass-1/verdicts")
    assert again.scores == done.scores
    other = configured(place, tmp_path / "f")
    for file, fault in (("evaluation.parquet", _flip), ("results.json", _zero)):
        fault(tmp_path / "e" / file, random.Random(1))
        with pytest.raises(LearnAlignError, match=rf"(?s){file} is not .*learnalign evaluate"):
            evaluate(other, pool, against=tmp_path / "e", progress=QUIET)
        evaluate(config, pool, progress=QUIET)
    evaluate(other, pool, against=tmp_path / "e", progress=QUIET)


def test_a_runs_own_options_are_checked_and_a_copy_may_be_edited(
    damaged_copy: Path, tmp_path: Path
) -> None:
    from learnalign.config.load import load_config

    file = damaged_copy / "config.yaml"
    text = file.read_text()
    assert load_config(file).selection.budget == 3
    changed = text.replace("budget: 3", "budget: 2")
    file.write_text(changed)
    with pytest.raises(LearnAlignError, match=r"config\.yaml has changed since the run wrote it"):
        load_config(file)
    copy = tmp_path / "mine.yaml"
    copy.write_text(changed)
    assert load_config(copy).selection.budget == 2
    file.write_text("".join(changed.splitlines(keepends=True)[:-1]))
    assert load_config(file).selection.budget == 2
