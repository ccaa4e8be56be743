"""Other libraries' bars and warnings: silent in the program, untouched in a user's own Python."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from helpers.digits import digits_data, digits_model
from learnalign.cli.quiet import quiet_libraries
from learnalign.config import ModelConfig
from learnalign.models.loading import load_model
from learnalign.terminal.library_bars import no_bars


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.parametrize("hubs_bars", [True, False])
def test_loading_shows_no_bar_and_leaves_bars_as_they_were(
    bars: bool, hubs_bars: bool, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
        (enable_progress_bars if hubs_bars else disable_progress_bars)()
        load_model(ModelConfig(path=str(model), device="cpu"), dtype=torch.float32)
        assert "\r" not in capfd.readouterr().err
        assert logging.is_progress_bar_enabled() is bars
        assert are_progress_bars_disabled() is not hubs_bars
        if bars:  # and so they do show, where it is not we who load
            AutoModelForCausalLM.from_pretrained(model)
            assert "\r" in capfd.readouterr().err
    finally:
        logging.enable_progress_bar()


def test_bars_come_back_after_an_error() -> None:
    with pytest.raises(KeyError), no_bars():
        raise KeyError
    assert logging.is_progress_bar_enabled()


def test_the_environment_and_the_warnings_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    before, filters = dict(os.environ), list(warnings.filters)
    with quiet_libraries():
        # What the user asked for holds.
        assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"
        assert os.environ["TQDM_DISABLE"] == "1"
    assert dict(os.environ) == before
    assert list(warnings.filters) == filters


NOISY = """
import warnings
from learnalign.cli.quiet import quiet_libraries
with quiet_libraries():
    from tqdm.auto import tqdm
    from transformers.utils import logging
    warnings.warn("something is deprecated")
    logging.get_logger("transformers").warning("some advice")
    assert list(tqdm(range(3))) == list(logging.tqdm(range(3))) == [0, 1, 2]
    print(logging.is_progress_bar_enabled())
warnings.warn("now they are back")
"""


def test_what_libraries_say_is_not_shown() -> None:
    unset = ("TQDM_DISABLE", "PYTHONWARNINGS", "TRANSFORMERS_VERBOSITY")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    done = subprocess.run(
        [sys.executable, "-c", NOISY], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "False\n", done.stderr
    assert done.stderr == "<string>:11: UserWarning: now they are back\n"


@pytest.mark.slow
def test_the_demos_model_is_made_with_one_line(smollm2: Path, tmp_path: Path) -> None:
    gguf = smollm2.with_name(smollm2.name + ".gguf")
    if not gguf.is_file():
        pytest.skip("the GGUF of the demo's model is not there")
    (tmp_path / "m.gguf").symlink_to(gguf.resolve())
    script = Path(__file__).resolve().parents[2] / "examples" / "smollm2.py"
    command = [sys.executable, str(script), str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'm'}\n"), done.stderr
    told = done.stderr.splitlines()
    assert all(line.startswith("converting: ") and "\r" not in line for line in told)
    assert told[-1].startswith("converting: 3 of 3 steps, ")


def test_a_training_by_trl_says_our_lines_alone(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl")
    from learnalign.config.load import load_config
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.train import train

    given = {
        "model.path": str(model),
        "model.device": "cpu",
        "data.paths": [str(digits_data(tmp_path / "pool.jsonl", 4))],
        "prompt.template": "{{ question }}",
        "rollouts.num_rollouts": 4,
        "rollouts.max_tokens": 1,
        "verifier.kind": "number",
        "verifier.workers": 1,
        "training.trainer": "trl",
        "training.problems_per_step": 2,
        "training.steps": 2,
        "run.out": str(tmp_path / "out"),
    }
    train(load_config(overrides=given), progress=Progress("lines"))
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "prompt",
        "problems",
        "golds",
        "training",
    ]
