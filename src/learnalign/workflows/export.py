"""Export a finished run to a trainer's files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.formats.export import UNSENT, Exported, export
from learnalign.formats.recipes import write_recipe
from learnalign.formats.rows import AddInstructions
from learnalign.problems.prompts import Prompter
from learnalign.runs.folder import RunFolder, scored
from learnalign.storage import files
from learnalign.storage.paths import as_path
from learnalign.workflows.subsets import chosen_ids, made_of


def export_run(
    run: Path,
    config: Config,
    kind: str,
    *,
    out: Path | None = None,
    subset: str = "selected",
    order: Any = "score",
    batch_size: int | None = None,
    control: bool = True,
    prompts: str = "own",
) -> Exported:
    """Export the selection of a run, or a subset of it, with a recipe for trainers that have one.

    With ``prompts`` "scored", the rows' `prompt` includes the run's system prompt and instruction;
    "own" keeps the data's prompt. ``subset`` is what ``train --subset`` takes: ``selected``,
    ``random``, ``all`` or a file of ids; what a person made is described in the manifest. For all
    other arguments, see `learnalign.formats.export.export`.
    """
    folder = scored(run)
    ids, about = None, _about(folder, config)
    if subset != "selected":
        ids = chosen_ids(folder, subset, seed=config.run.seed)
        about |= {"subset": {"name": subset, **made_of(subset)}}

    def original(index: int) -> pa.Table | None:
        name = f"sources/source-{index:02d}.parquet"
        if not files.is_file(folder.path / name):
            return None
        return folder.read_table(name, do=folder.redo_advice("problems"))

    target = out or folder.path / (
        f"export-{kind}" if ids is None else f"export-{kind}-{as_path(subset).stem}"
    )
    done = export(
        target,
        kind,
        problems=lambda: folder.shards("problems"),
        scores=folder.scores(),
        subset=ids,
        order=order,
        control=control,
        seed=config.run.seed,
        batch_size=batch_size,
        sources=original,
        about=about,
        scored_with=prompt_flags(config),
        add_instructions=_scored_messages(config, prompts),
        overwrite_gold=":" not in config.verifier.kind,
    )
    lengths = [
        pc.max(pc.list_value_length(shard["prompt_ids"])).as_py()
        for shard in folder.shards("problems")
    ]
    recipe = write_recipe(
        target,
        kind,
        config,
        reward=config.verifier.kind,
        longest=max(lengths),
        batch_size=batch_size,
    )
    if recipe is None:
        return done
    warnings = [*done.warnings, *_doubts(folder, config, kind)]
    return replace(done, paths=[*done.paths, recipe], warnings=warnings)


def _scored_messages(config: Config, prompts: str) -> AddInstructions | None:
    """Return the function that builds the scored messages, if ``prompts`` is "scored"."""
    if prompts not in ("own", "scored"):
        raise LearnAlignError(
            f"got --prompts {prompts}",
            expected="own (the prompts of your rows), or scored",
            do="correct --prompts",
        )
    if prompts == "own":
        return None
    beyond = sorted(UNSENT & set(prompt_flags(config)))
    if beyond:
        raise LearnAlignError(
            f"got --prompts scored, but the model was scored with {' and '.join(beyond)}",
            expected="a system prompt and an instruction, which chat messages can hold",
            do="remove --prompts and build the same prompt in the trainer, or select without "
            f"{' and '.join(beyond)}",
        )
    from learnalign.models.loading import load_tokenizer

    return Prompter(load_tokenizer(config.model), config.prompt).with_instructions


def _about(folder: RunFolder, config: Config) -> dict[str, Any]:
    """Describe how the selection was computed, for the export's manifest."""
    stages = folder.manifest.stages
    return {
        "learnalign": folder.manifest.learnalign,
        "model": config.model.model_dump(mode="json"),
        "weights": stages["rollouts"].options.get("model.weights"),
        "sampling": config.rollouts.model_dump(mode="json"),
        "verifier": config.verifier.model_dump(mode="json"),
        "gradients": config.gradients.model_dump(mode="json"),
        "selection": config.selection.model_dump(mode="json"),
        "seed": config.run.seed,
        "data": {
            "paths": list(config.data.paths),
            "contents": stages["problems"].options.get("data.contents"),
        },
        "summary": folder.manifest.summary,
    }


def _doubts(folder: RunFolder, config: Config, kind: str) -> list[str]:
    """Warn where a recipe's rewards may differ from the rewards of the run."""
    verifier, doubts = config.verifier, []
    if verifier.kind == "auto" and any(
        shard["recorded_reward"].null_count < len(shard) for shard in folder.shards("rollouts")
    ):
        doubts.append(
            "the selection used recorded rewards, but the recipe rewards with `auto`: if they "
            "differ, give the trainer your own reward function"
        )
    if verifier.unfinished_thinking and kind == "trl" and ":" not in verifier.kind:
        doubts.append(
            "the selection looked for answers in unfinished thinking, which the recipe's reward "
            "functions for TRL do not: such completions get a reward of 0"
        )
    return doubts


def prompt_flags(config: Config) -> list[str]:
    """List the flags that made the scored prompts differ from the rows' own.

    Chat template variables are not listed, because the recipe passes them on.

    Example:
        >>> prompt_flags(Config.model_validate({"prompt": {"system": "Be brief."}}))
        ['--system']
    """
    options = config.prompt.model_dump(exclude_none=True, exclude={"chat_template_kwargs"})
    return [f"--{name.replace('_', '-')}" for name in options]
