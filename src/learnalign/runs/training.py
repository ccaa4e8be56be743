"""A training as a run folder: its problems, its history, its checkpoints, the model at the end."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.places import local_only
from learnalign.runs.config_files import write_config
from learnalign.runs.fingerprints import fingerprint, training_options
from learnalign.runs.folder import RunFolder
from learnalign.runs.progress import Advance, Progress
from learnalign.runs.subsets import training_problems
from learnalign.runs.workshop import Workshop
from learnalign.training.history import History
from learnalign.training.order import Places, step_problems
from learnalign.verifying.verifier import open_verifier

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Training:
    """A finished training."""

    path: Path
    """The run folder."""
    model: Path
    """Folder of the trained model, or of the adapter (``lora``)."""
    steps: pa.Table
    """STEPS: a row a step."""

    def history(self) -> pa.Table:
        """Read HISTORY: a row a rollout, with its step and reward."""
        return RunFolder(self.path).table("history")


#: The tables of a training.
TABLES = ("problems", "history", "steps")


def train(config: Config, *, progress: Progress, redo: str | None = None) -> Training:
    """Train a model by GRPO on problems; called again, it goes on where it was.

    Args:
        config: ``model`` is what the training begins from; ``data.paths`` are the problems: data,
            or the folder of one finished selection, whose chosen problems (``training.subset``)
            keep the prompts they were scored with.
        progress: Shows the steps.
        redo: Table to throw away first (``problems``, ``history``), with all that came of it.

    Raises:
        LearnAlignError: for whatever the user can mend.
    """
    local_only(config.run.out, "a training, whose checkpoints are files")
    folder = RunFolder(config.run.out, TABLES)
    with folder.locked():
        if redo is not None:
            folder.redo(redo)
            for name in ("checkpoints", "model", "adapter"):
                shutil.rmtree(folder.path / name, ignore_errors=True)
        shop = Workshop(config)
        problems = training_problems(folder, config, shop, progress)
        order = step_problems(
            problems.num_rows,
            config.training.problems_per_step,
            epochs=config.training.epochs,
            steps=config.training.steps,
            shuffled=config.training.shuffled,
            seed=config.run.seed,
        )
        ids = fingerprint({"ids": problems["problem_id"].to_pylist()})
        options = training_options(config) | {
            "training.problems": ids,
            "training.num_steps": len(order),
        }
        folder.begin("history", options)
        done = folder.begin("steps", options).complete
        write_config(folder.path / "config.yaml", config)
        if not done:
            _train(folder, config, shop, problems, order, progress)
        model = folder.path / ("adapter" if config.training.parameters == "lora" else "model")
        return Training(folder.path, model, folder.table("steps"))


@dataclass
class _Job:
    """What both trainers work with."""

    folder: RunFolder
    config: Config
    model: Any
    engine: Any
    verifier: Any
    problems: pa.Table
    order: Places
    advance: Advance
    history: History

    @property
    def checkpoints(self) -> Path:
        return self.folder.path / "checkpoints"


def _train(
    folder: RunFolder,
    config: Config,
    shop: Workshop,
    problems: pa.Table,
    order: Places,
    progress: Progress,
) -> None:
    """Make the steps that are left and write the model."""
    import torch

    from learnalign.models import load_trainable, resolve_device, resolve_dtype
    from learnalign.rollouts.transformers import TransformersEngine

    training = config.training
    dtype = resolve_dtype(training.dtype, resolve_device(config.model.device))
    native = training.trainer == "native"
    model = load_trainable(
        config.model,
        parameters=training.parameters,
        lora_rank=training.lora_rank,
        seed=config.run.seed,
        dtype=dtype if native else torch.float32,  # TRL casts by itself, from float32
    )
    engine = TransformersEngine(model, shop.tokenizer, config.rollouts, seed=config.run.seed)
    first = _num_steps(folder)
    with (
        open_verifier(config.verifier) as verifier,
        progress.stage("training", len(order), first, unit="steps") as advance,
    ):
        job = _Job(folder, config, model, engine, verifier, problems, order, advance, History())
        if native:
            _natively(job, first, dtype)
        else:
            _with_trl(job, first)
    _write_model(folder, config, model, shop.tokenizer)
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    from learnalign.reporting.training import write_picture

    write_picture(folder.path / "training.html", folder.table("steps"), folder.table("history"))
    folder.finish("history")
    folder.finish("steps")


def _natively(job: _Job, first: int, dtype: "torch.dtype") -> None:
    from learnalign.models import load_model
    from learnalign.training.checkpoint import (
        forget_checkpoints,
        load_checkpoint,
        save_checkpoint,
    )
    from learnalign.training.learner import Learner
    from learnalign.training.native import train

    config, training = job.config, job.config.training
    reference = None
    if training.kl_beta and training.parameters == "full":
        reference = load_model(config.model, dtype=dtype)
    learner = Learner(
        job.model,
        training,
        config.gradients,
        temperature=config.rollouts.temperature,
        max_tokens=config.rollouts.max_tokens,
        num_steps=len(job.order),
        reference=reference,
        dtype=dtype if training.parameters == "full" else None,
    )
    if first:
        load_checkpoint(job.checkpoints, first, learner)

    def save() -> None:
        save_checkpoint(job.checkpoints, learner)
        _write(job)
        forget_checkpoints(job.checkpoints, keep=learner.done)

    train(
        learner,
        job.engine,
        job.verifier,
        job.problems,
        job.order,
        job.history,
        seed=config.run.seed,
        save=save,
        save_every=training.save_every,
        progress=job.advance,
    )
    learner.masters.widen()


def _with_trl(job: _Job, first: int) -> None:
    from learnalign.training.trl import train

    train(
        job.model,
        job.engine,
        job.verifier,
        job.problems,
        job.order,
        job.history,
        job.config,
        folder=job.checkpoints,
        first=first,
        save=lambda: _write(job),
        progress=job.advance,
    )


def _num_steps(folder: RunFolder) -> int:
    """Count the steps whose figures are on disk: the checkpoint to go on from."""
    return sum(shard.rows for shard in folder.manifest.stages["steps"].shards.values())


def _write(job: _Job) -> None:
    """Write what has come together since the last checkpoint; it counts once STEPS has it."""
    folder = job.folder
    rollouts, steps = job.history.take()
    if not steps.num_rows:
        return
    index = folder.num_shards("steps")
    seconds = sum(pc.sum(steps[name]).as_py() or 0.0 for name in ("sampling_s", "learning_s"))
    tokens = int(pc.sum(pc.list_value_length(rollouts["token_ids"])).as_py() or 0)
    folder.write_shard("history", index, rollouts, seconds=seconds, tokens=tokens)
    folder.write_shard("steps", index, steps, seconds=seconds)


def _write_model(folder: RunFolder, config: Config, model: Any, tokenizer: Any) -> None:
    from learnalign.bars import no_bars

    lora = config.training.parameters == "lora"
    path = folder.path / ("adapter" if lora else "model")
    shutil.rmtree(path, ignore_errors=True)
    with no_bars():
        model.save_pretrained(path)
    tokenizer.save_pretrained(path)
