"""A training as a run folder: its problems, its history, its checkpoints, the model at the end."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.formats.export import draw_control
from learnalign.runs import stages
from learnalign.runs.config_files import write_config
from learnalign.runs.fingerprints import fingerprint, stage_options, training_options
from learnalign.runs.folder import RunFolder
from learnalign.runs.progress import Advance, Progress
from learnalign.selecting.methods import luck
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
    folder = RunFolder(config.run.out, TABLES)
    with folder.locked():
        if redo is not None:
            folder.redo(redo)
            for name in ("checkpoints", "model", "adapter"):
                shutil.rmtree(folder.path / name, ignore_errors=True)
        shop = stages.Workshop(config)
        problems = _problems(folder, config, shop, progress)
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


def _problems(
    folder: RunFolder, config: Config, shop: stages.Workshop, progress: Progress
) -> pa.Table:
    """Read the problems from data, or take the chosen ones of a selection."""
    source = selection_folder(config.data.paths)
    count = config.training.num_problems
    if source is None:
        if not folder.begin("problems", stage_options(config, "problems")).complete:
            stages.problems(folder, config, shop, progress)
        table = folder.table("problems")
        return table.take(_drawn(table["problem_id"].to_pylist(), count, config.run.seed))
    chosen = chosen_ids(source, config.training.subset, seed=config.run.seed)
    chosen = [chosen[i] for i in _drawn(chosen, count, config.run.seed)]
    options = {"training.source": str(source.path), "training.chosen": fingerprint({"ids": chosen})}
    if not folder.begin("problems", options).complete:
        place = {name: i for i, name in enumerate(chosen)}
        found = pa.concat_tables(
            shard.filter(pc.is_in(shard["problem_id"], pa.array(chosen)))
            for shard in source.shards("problems")
        )
        rank = pa.array([place[name] for name in found["problem_id"].to_pylist()])
        table = found.take(pc.sort_indices(rank))
        folder.write_shard("problems", 0, table, seconds=0.0)
        folder.finish("problems")
    return folder.table("problems")


def _drawn(names: list[str], count: int | None, seed: int) -> list[int]:
    """Give the places of ``count`` problems drawn by lot, in their order; of all, if None."""
    if count is None or count >= len(names):
        return list(range(len(names)))
    lots = luck(names, seed + 2)
    return sorted(sorted(range(len(names)), key=lots.__getitem__)[:count])


def selection_folder(paths: tuple[str, ...]) -> RunFolder | None:
    """Open the run folder that stands in place of data; None if the paths are data."""
    if len(paths) != 1 or not (Path(paths[0]) / "manifest.json").is_file():
        return None
    folder = RunFolder.existing(Path(paths[0]))
    if not (folder.path / "scores.parquet").is_file():
        raise LearnAlignError(
            f"{folder.path} has no scores yet",
            expected="the folder of a finished selection",
            do=f"run `learnalign score {folder.path} --budget K`",
        )
    return folder


def chosen_ids(source: RunFolder, subset: str, *, seed: int) -> list[str]:
    """Name a run's problems to train on, the best first.

    Args:
        source: The run.
        subset: ``selected``; ``random``, as many as selected, drawn as an export's control is;
            ``all``; or a file with one id a line.
        seed: Of the draw.

    Raises:
        LearnAlignError: for an unknown subset, an id the run does not know, or nothing chosen.
    """
    scores = pq.read_table(source.path / "scores.parquet")
    names: list[str] = scores["problem_id"].to_pylist()
    selected: list[str] = scores.filter(pc.fill_null(scores["selected"], False))[
        "problem_id"
    ].to_pylist()
    if subset == "all":
        return names
    if subset in ("selected", "random"):
        if not selected:
            raise LearnAlignError(
                f"{source.path} has nothing selected",
                expected="a selection",
                do=f"run `learnalign score {source.path} --budget K`, or give --subset all",
            )
        return selected if subset == "selected" else draw_control(scores, len(selected), seed)
    path = Path(subset)
    if not path.is_file():
        raise LearnAlignError(
            f"got --subset {subset}",
            expected="selected, random, all or a file of ids",
            do="correct it",
        )
    listed = [
        line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    unknown = sorted(set(listed) - set(names))
    if unknown or not listed:
        raise LearnAlignError(
            f"{path} names {len(unknown)} problems that {source.path} does not know"
            + (f", '{unknown[0]}' first" if unknown else "; it names none at all"),
            expected="ids of that run, one a line",
            do="correct the file",
        )
    return list(dict.fromkeys(listed))


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
    shop: stages.Workshop,
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
    lora = config.training.parameters == "lora"
    path = folder.path / ("adapter" if lora else "model")
    shutil.rmtree(path, ignore_errors=True)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
