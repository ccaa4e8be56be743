"""Train in a run folder that holds the problems, history, checkpoints and final model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from learnalign.config import Config, TrainingConfig
from learnalign.config.load import write_config
from learnalign.curriculum.base import Curriculum
from learnalign.errors import LearnAlignError
from learnalign.pipeline.fingerprints import training_options
from learnalign.pipeline.resources import Resources
from learnalign.runs.checkpoints import (
    add_checkpoint,
    checkpoint,
    drop_checkpoint,
    keep_checkpoints,
    verify_tables,
    verify_training,
)
from learnalign.runs.fingerprints import fingerprint
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.storage.folders import atomic_folder, sync_tree
from learnalign.storage.paths import require_local
from learnalign.terminal.progress import Advance, Progress
from learnalign.training.history import History
from learnalign.training.order import Indices, step_problems
from learnalign.verifying.verifier import open_verifier
from learnalign.workflows.curriculum_history import learn_history
from learnalign.workflows.training_curriculum import open_curriculum, open_sketcher
from learnalign.workflows.training_length import group_limit, step_limit
from learnalign.workflows.training_problems import training_problems

if TYPE_CHECKING:
    import torch


#: A function of a step's row of STEPS and the model.
AfterStep = Callable[[dict[str, Any], Any], None]


@dataclass(frozen=True)
class Training:
    """A finished training."""

    path: Path
    """The run folder."""
    model: Path
    """Folder of the trained model, or of the adapter (``lora``)."""
    steps: pa.Table
    """STEPS: one row per step."""

    def history(self) -> pa.Table:
        """Read HISTORY: one row per rollout, with its step and reward."""
        return RunFolder(self.path).table("history")


def train(
    config: Config,
    *,
    progress: Progress,
    redo: str | None = None,
    below: str = "",
    after_step: AfterStep | None = None,
) -> Training:
    """Train a model with GRPO; calling it again resumes the training.

    Args:
        config: ``model`` is the initial model. ``data.paths`` is data, or the folder of one
            finished selection, whose chosen problems (``training.subset``) keep the prompts they
            were scored with.
        progress: Shows the steps.
        redo: What to discard first: ``problems`` or ``history``, with everything after it, or
            ``checkpoint``, the latest one, to resume from the one before.
        below: Prefix of ``redo`` in the --redo of the larger run that contains this training.
        after_step: Called after each step with its row of STEPS and the model, which it may sample
            from but must not change; native trainer only.

    Raises:
        LearnAlignError: for errors that the user can fix.
    """
    require_local(config.run.out, "a training, whose checkpoints are files")
    folder = RunFolder(config.run.out, TRAINING_TABLES, below=below)
    with folder.locked():
        if redo is not None:
            _redo(folder, redo, config.training.trainer)
        resources = Resources(config)
        problems = training_problems(folder, config, resources, progress)
        order = step_problems(
            problems.num_rows,
            config.training.problems_per_step,
            epochs=config.training.epochs,
            steps=step_limit(config, problems.num_rows),
            shuffled=config.training.shuffled,
            seed=config.run.seed,
        )
        ids = fingerprint({"ids": problems["problem_id"].to_pylist()})
        options = training_options(config) | {
            "training.problems": ids,
            "training.num_steps": len(order),
        }
        _require_trainer(config.training)
        curriculum = open_curriculum(config, problems)  # an unknown option ends the run here
        told = learn_history(curriculum, config, problems, progress)
        folder.begin("history", options)
        done = folder.begin("steps", options).complete
        write_config(folder.path / "config.yaml", config)
        name = "adapter" if config.training.parameters == "lora" else "model"
        if done:
            verify_tables(folder)
            folder.verify(name, do=folder.redo_advice("history"))
        else:
            for text in told:
                progress.log(f"warning: {text}")
            _train(folder, config, resources, problems, order, curriculum, progress, after_step)
        if (folder.path / "checkpoints").exists():
            folder.delete("checkpoints")
        return Training(folder.path, folder.path / name, folder.table("steps"))


def _require_trainer(training: TrainingConfig) -> None:
    if training.trainer == "trl" and training.curriculum != "order":
        raise LearnAlignError(
            f"got --curriculum {training.curriculum} with --trainer trl",
            expected="the native trainer, which asks a curriculum for each step's problems",
            do="leave out --trainer, or use --curriculum order; in a TRL script of your own, "
            "learnalign.integrations.trl.CurriculumMixin makes a curriculum choose",
        )


def _redo(folder: RunFolder, redo: str, trainer: str) -> None:
    """Discard what --redo names."""
    if redo == "checkpoint":
        drop_checkpoint(folder, trainer)
        return
    if redo not in ("problems", "history"):
        raise LearnAlignError(
            f"got --redo {folder.below}{redo}",
            expected=", ".join(folder.below + name for name in ("problems", "history"))
            + f" or {folder.below}checkpoint",
            do="correct --redo",
        )
    folder.discard_tables(folder.stages[folder.stages.index(redo) :])
    folder.delete("checkpoints", "model", "adapter", "training.html")


@dataclass
class _Job:
    """Inputs of both trainers."""

    folder: RunFolder
    config: Config
    model: Any
    engine: Any
    verifier: Any
    problems: pa.Table
    order: Indices
    curriculum: Curriculum
    advance: Advance
    history: History

    def checkpoint(self, step: int) -> Path:
        """Return the folder of the checkpoint after ``step`` steps."""
        return self.folder.path / checkpoint(self.config.training.trainer, step)

    def save(self, step: int) -> None:
        """Record a checkpoint on disk, with the rollouts and steps since the last one."""
        rollouts, steps = self.history.take()
        if steps.num_rows:
            add_checkpoint(self.folder, self.config.training.trainer, step, rollouts, steps)


def _train(
    folder: RunFolder,
    config: Config,
    resources: Resources,
    problems: pa.Table,
    order: Indices,
    curriculum: Curriculum,
    progress: Progress,
    after_step: AfterStep | None,
) -> None:
    """Run the remaining steps and write the model."""
    import torch

    from learnalign.models.loading import load_trainable, resolve_device, resolve_dtype
    from learnalign.rollouts.transformers import TransformersEngine

    training = config.training
    dtype = resolve_dtype(training.dtype, resolve_device(config.model.device))
    native = training.trainer == "native"
    model = load_trainable(
        config.model,
        parameters=training.parameters,
        lora_rank=training.lora_rank,
        seed=config.run.seed,
        dtype=dtype if native else torch.float32,  # TRL casts from float32 itself
    )
    engine = TransformersEngine(model, resources.tokenizer, config.rollouts, seed=config.run.seed)
    first = verify_training(folder, training.trainer)
    keep_checkpoints(folder, training.trainer)  # discard partial ones that a kill left
    with (
        open_verifier(config.verifier) as verifier,
        progress.stage("training", len(order), first, unit="steps") as advance,
    ):
        job = _Job(
            folder, config, model, engine, verifier, problems, order, curriculum, advance, History()
        )
        if native:
            _train_native(job, first, dtype, after_step)
        else:
            _train_trl(job, first)
    _write_model(folder, config, model, resources.tokenizer)
    from learnalign.reporting.training import write_picture

    write_picture(folder.path / "training.html", folder.table("steps"), folder.table("history"))
    folder.finish("history")
    folder.finish("steps")


def _train_native(
    job: _Job, first: int, dtype: "torch.dtype", after_step: AfterStep | None
) -> None:
    from learnalign.models.loading import load_model
    from learnalign.training.checkpoint import load_checkpoint, save_checkpoint
    from learnalign.training.learner import Learner
    from learnalign.training.native import train

    config, training = job.config, job.config.training
    reference = None
    if training.kl_beta and training.parameters == "full":
        reference = load_model(config.model, dtype=dtype)
    num_steps, per_step = job.order.shape
    learner = Learner(
        job.model,
        training,
        config.gradients,
        temperature=config.rollouts.temperature,
        max_tokens=config.rollouts.max_tokens,
        num_steps=num_steps,
        reference=reference,
        dtype=dtype if training.parameters == "full" else None,
        sketcher=open_sketcher(job.curriculum, job.model, config.run.seed),
    )
    if first:
        load_checkpoint(job.checkpoint(first), first, learner, job.curriculum)

    def save() -> None:
        save_checkpoint(job.checkpoint(learner.done), learner, job.curriculum)
        job.save(learner.done)

    train(
        learner,
        job.engine,
        job.verifier,
        job.problems,
        job.curriculum,
        job.history,
        num_steps=num_steps,
        per_step=per_step,
        max_groups=group_limit(config),
        seed=config.run.seed,
        save=save,
        save_every=training.save_every,
        progress=job.advance,
        after_step=after_step,
    )
    learner.masters.widen()


def _train_trl(job: _Job, first: int) -> None:
    from learnalign.training.trl import train

    def save(step: int) -> None:
        sync_tree(job.checkpoint(step))
        job.save(step)

    train(
        job.model,
        job.engine,
        job.verifier,
        job.problems,
        job.order,
        job.history,
        job.config,
        folder=job.checkpoint(0).parent,
        first=first,
        save=save,
        progress=job.advance,
    )


def _write_model(folder: RunFolder, config: Config, model: Any, tokenizer: Any) -> None:
    from learnalign.terminal.library_bars import no_bars

    name = "adapter" if config.training.parameters == "lora" else "model"
    with atomic_folder(folder.path / name) as temporary, no_bars():
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    folder.record(name)
