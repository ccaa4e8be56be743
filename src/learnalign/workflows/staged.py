"""Staged training: select, train, and select again with the trained policy."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config, ModelConfig
from learnalign.config.load import write_config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.reuse import PROMPT_COLUMNS, reused_groups
from learnalign.runs.folder import RunFolder
from learnalign.runs.lock import run_lock
from learnalign.selecting.order import random_keys
from learnalign.storage import files
from learnalign.storage.folders import remove_leftovers, remove_tree
from learnalign.storage.paths import require_local
from learnalign.terminal.progress import Progress
from learnalign.workflows import select
from learnalign.workflows.train import train


@dataclass(frozen=True)
class Stage:
    """One stage: a selection and the training on it."""

    number: int
    """1-based."""
    selection: Path
    training: Path
    model: Path
    """The trained policy: a model or an adapter."""
    num_chosen: int
    num_easy: int
    """Chosen problems that are already solved, included to prevent forgetting."""
    num_reused: int
    """Problems whose rollouts were reused from the previous training."""
    num_kept: int | None
    """Chosen problems that the previous stage also chose; None in the first."""
    mean_success_rate: float
    """Of the whole pool, under the policy that the stage started with."""


def run_staged(config: Config, *, progress: Progress, redo: str | None = None) -> list[Stage]:
    """Select and train in stages; calling it again resumes.

    Args:
        config: ``model`` is the first stage's policy, ``stages.count`` the number of stages.
        progress: Shows each stage's parts.
        redo: What to discard first: a stage and all later ones (``stage-2``), or a table of one of
            its runs (``stage-2/training/history``).

    Raises:
        LearnAlignError: for errors that the user can fix.
    """
    out = config.run.out
    require_local(out, "stages, whose trainings keep their checkpoints as files")
    if config.rollouts.engine == "server":
        raise LearnAlignError(
            "got the engine 'server' for stages: it always samples from the first policy",
            expected="an engine that loads each stage's policy",
            do="give --engine transformers or vllm",
        )
    stages: list[Stage] = []
    tables: list[pa.Table] = []
    chosen: list[str] = []
    with run_lock(out):
        remove_leftovers([out, *out.glob("stage-*")])
        table_redo = _redo(out, redo, config.stages.count)
        for number in range(1, config.stages.count + 1):
            progress.log(f"stage {number} of {config.stages.count}")
            stage, scores, names = _stage(config, number, stages, chosen, progress, table_redo)
            stages.append(stage)
            tables.append(scores)
            chosen = names
            write_config(out / "config.yaml", config)
            _write_summary(out, stages, tables)
    return stages


def _redo(out: Path, redo: str | None, count: int) -> str | None:
    """Discard whole stages; return a --redo that names a table of one of their runs.

    Raises:
        LearnAlignError: if it names neither.
    """
    if redo is None:
        return None
    first, _, rest = redo.partition("/")
    number = first.removeprefix("stage-")
    run, _, table = rest.partition("/")
    known = number.isdecimal() and 1 <= int(number) <= count and (out / first).is_dir()
    if not known or (rest and (run not in ("selection", "training") or not table)):
        raise LearnAlignError(
            f"got --redo {redo}",
            expected="an existing stage (stage-2 redoes it and all later ones), or a "
            "table of one of its runs: stage-2/selection/rollouts, stage-2/training/history, "
            "stage-2/training/checkpoint, stage-1/selection/warmup",
            do="correct it",
        )
    if rest:
        return redo
    numbers = [path.name.removeprefix("stage-") for path in out.glob("stage-*")]
    later = sorted(int(n) for n in numbers if n.isdecimal() and int(n) >= int(number))
    for n in reversed(later):  # if interrupted, the earlier stages are intact
        remove_tree(out / f"stage-{n}")
    return None


def _stage(
    config: Config,
    number: int,
    before: list[Stage],
    previous: list[str],
    progress: Progress,
    redo: str | None,
) -> tuple[Stage, pa.Table, list[str]]:
    name = f"stage-{number}"
    folder = config.run.out / name

    def part(run: str) -> dict[str, Any]:
        below = f"{name}/{run}/"
        own = redo.removeprefix(below) if redo and redo.startswith(below) else None
        return {"redo": own, "below": below, "progress": progress}

    model, reuse, gradients = _policy(config, before)
    selecting = _changed(
        config,
        model=model,
        gradients=gradients,
        rollouts={"reuse": reuse, "reuse_steps": config.stages.reuse_steps},
        selection={"warmup": None if before else config.selection.warmup},
        run={"out": folder / "selection"},
    )
    selection = select.run(selecting, **part("selection"))
    share = config.stages.easy_share
    names, easy = stage_problems(selection.scores, share, seed=config.run.seed + number)
    files.write_text(folder / "problems.txt", "".join(f"{name}\n" for name in names))
    training = train(
        _changed(
            config,
            model=model,
            data={"paths": (str(selection.path),)},
            training={"subset": str(folder / "problems.txt")},
            run={"out": folder / "training"},
        ),
        **part("training"),
    )
    reused = 0
    if reuse is not None:
        pool = RunFolder(selection.path).batches("problems", PROMPT_COLUMNS)
        groups = set(reused_groups(selecting, pool)["problem_id"].to_pylist())
        reused = len(groups & set(selection.scores["problem_id"].to_pylist()))
    stage = Stage(
        number=number,
        selection=selection.path,
        training=training.path,
        model=training.model,
        num_chosen=len(names),
        num_easy=easy,
        num_reused=reused,
        num_kept=len(set(names) & set(previous)) if before else None,
        mean_success_rate=float(pc.mean(selection.scores["success_rate"]).as_py()),
    )
    return stage, selection.scores, names


def _policy(config: Config, before: list[Stage]) -> tuple[ModelConfig, Path | None, dict[str, Any]]:
    """Return a stage's policy, the training to reuse rollouts from, and its KL options."""
    model = config.model
    reuse: Path | None = None
    gradients: dict[str, Any] = {}
    if before:
        lora, trained = config.training.parameters == "lora", before[-1].model
        update = {"adapter": trained} if lora else {"path": str(trained), "adapter": None}
        model = model.model_copy(update=update)
        reuse = before[-1].training if config.stages.reuse_steps else None
        if config.gradients.reference is None:
            gradients = {"reference": config.model.path}
    elif not (config.selection.warmup or config.gradients.reference or config.model.adapter):
        # The first policy is its own reference, so the KL term has no gradient.
        gradients = {"kl_beta": 0.0}
    return model, reuse, gradients


def stage_problems(scores: pa.Table, easy_share: float, *, seed: int) -> tuple[list[str], int]:
    """Return a stage's problems: the best by score, and a share of solved ones chosen at random.

    Args:
        scores: SCORES with K selected problems.
        easy_share: Share of the K given to solved problems (all rollouts correct), if there are
            enough; they replace the selected problems with the lowest scores.
        seed: Random seed.

    Returns:
        K ids, best first and easy ones last; and how many are easy.
    """
    selected = scores.filter(pc.fill_null(scores["selected"], False))["problem_id"].to_pylist()
    solved = scores.filter(
        pc.and_(
            pc.equal(scores["num_correct"], scores["num_rollouts"]),
            pc.invert(pc.fill_null(scores["selected"], False)),
        )
    )["problem_id"].to_pylist()
    keys = dict(zip(solved, random_keys(solved, seed).tolist(), strict=True))
    easy = sorted(solved, key=keys.__getitem__)[: round(easy_share * len(selected))]
    return [*selected[: len(selected) - len(easy)], *easy], len(easy)


def _changed(config: Config, **sections: Any) -> Config:
    """Copy a configuration with changed values in some sections."""
    update = {}
    for name, values in sections.items():
        section = getattr(config, name)
        update[name] = section.model_copy(update=values) if isinstance(values, dict) else values
    return config.model_copy(update=update)


def _write_summary(out: Path, stages: list[Stage], scores: list[pa.Table]) -> None:
    """Write ``stages.json`` and the chart of the stages so far."""
    from learnalign.reporting.stages import write_picture

    rows = [asdict(stage) for stage in stages]
    files.write_text(out / "stages.json", json.dumps(rows, indent=1, default=str) + "\n")
    lists = [
        (out / f"stage-{stage.number}" / "problems.txt").read_text(encoding="utf-8").splitlines()
        for stage in stages
    ]
    write_picture(out / "stages.html", scores, lists)
