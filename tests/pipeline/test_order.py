"""The order of stages, --redo and fingerprints follow from what each stage reads."""

from pathlib import Path
from typing import Any

import pytest

from learnalign.config import Config
from learnalign.pipeline.order import (
    dependent_stages,
    required_stages,
    stage_options,
    stages_through,
)
from learnalign.pipeline.stages import STAGES
from learnalign.runs import manifest
from learnalign.storage import files

ADAPTIVE = {"rollouts": {"spend": "auto"}}
WITH_KL = {"gradients": {"kl_beta": 0.1, "reference": "owner/base"}}


def test_stages_are_those_of_the_run_folder() -> None:
    assert tuple(STAGES) == manifest.STAGES


def test_a_stage_reads_only_earlier_ones() -> None:
    names = list(STAGES)
    for name, stage in STAGES.items():
        assert stage.name == name
        assert set(stage.reads) <= set(names[: names.index(name)])


@pytest.mark.parametrize(
    ("options", "last", "expected"),
    [
        ({}, "verdicts", "problems rollouts verdicts"),
        ({}, "features", "problems features"),
        (WITH_KL, "gradients", "problems rollouts verdicts references gradients"),
        (
            ADAPTIVE,
            "verdicts",
            "problems round-1 round-2 round-3 round-4 rollouts verdicts",
        ),
        (ADAPTIVE, "round-2", "problems round-1 round-2"),
    ],
)
def test_stages_through(options: dict[str, Any], last: str, expected: str) -> None:
    assert stages_through(last, Config.model_validate(options)) == tuple(expected.split())


def test_a_method_needs_verdicts_and_what_it_looks_at() -> None:
    config = Config.model_validate(WITH_KL)
    assert required_stages("learnability", config) == ("problems", "rollouts", "verdicts")
    features = ("problems", "rollouts", "verdicts", "features")
    assert required_stages("features", config) == features
    assert required_stages("learnalign", config)[-2:] == ("references", "gradients")


@pytest.mark.parametrize(
    ("redo", "expected"),
    [
        ("features", "features"),
        ("gradients", "gradients"),
        ("references", "references gradients"),
        ("verdicts", "verdicts gradients"),
        ("rollouts", "rollouts verdicts references gradients"),
        ("round-3", "round-3 round-4 rollouts verdicts references gradients"),
        ("problems", " ".join(STAGES)),
    ],
)
def test_redo_discards_what_depends_on_a_table(redo: str, expected: str) -> None:
    assert dependent_stages(redo) == tuple(expected.split())


def test_each_data_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "pool.jsonl"
    data.write_text("{}")
    hashed: list[Path] = []
    sha256 = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: hashed.append(path) or sha256(path))
    config = Config.model_validate({"data": {"paths": [str(data)]}} | WITH_KL)
    options = stage_options(config, [*stages_through("gradients", config), "features"])
    assert hashed == [data]
    assert all(one["data.contents"] for one in options.values())
