"""The selection workflow: stages, ranking, report; resumes after an interruption."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.config.load import load_config, write_config
from learnalign.errors import LearnAlignError
from learnalign.pipeline import adaptive, stages
from learnalign.pipeline.order import required_stages
from learnalign.pipeline.run_stages import run_stages
from learnalign.pipeline.success_histories import SuccessHistory, read_history
from learnalign.pipeline.targets import target_ids
from learnalign.pipeline.verifiers import judged_by
from learnalign.pipeline.warnings import exclusion_warnings, gold_warnings
from learnalign.rollouts.imports.joining import Join
from learnalign.rollouts.imports.told import warnings as recorded_warnings
from learnalign.rollouts.responses import warnings
from learnalign.runs.folder import RunFolder
from learnalign.selecting.methods.registry import method_named
from learnalign.selecting.rank import Ranking, rank
from learnalign.terminal.progress import Progress, ProgressKind
from learnalign.workflows.audit import audit_counts, dropped
from learnalign.workflows.warmup import redo_of_warmup, run_warmup


@dataclass(frozen=True)
class Selection:
    """A finished selection."""

    path: Path
    """The run folder."""
    scores: pa.Table
    """SCORES: every ranked problem, best first; ``selected`` marks the chosen ones."""
    excluded: pa.Table
    """EXCLUDED: problems removed from the pool, with reasons."""
    summary: dict[str, Any]
    """Counts, stability and warnings."""

    @property
    def problem_ids(self) -> list[str]:
        """The chosen problems, best first."""
        return list(self.scores.filter(self.scores["selected"])["problem_id"].to_pylist())


def select(
    model: str,
    data: str | Sequence[str],
    *,
    budget: int | float | None = None,
    out: str | Path = "runs/select",
    options: Mapping[str, Any] | None = None,
    progress: ProgressKind = "auto",
) -> Selection:
    """Choose the problems worth training on.

    Calling it again with the same arguments resumes the run, or returns the finished selection.

    Args:
        model: Model folder or hub name.
        data: Files, folders, hub names or reasoning-gym specs.
        budget: K problems (an integer) or a fraction of the pool.
        out: Run folder.
        options: Other options by dotted name, e.g. ``{"rollouts.num_rollouts": 4}``.
        progress: ``auto`` shows bars on a terminal and lines elsewhere; ``none`` is silent.

    Raises:
        LearnAlignError: for errors that the user can fix.
    """
    overrides = {
        **(options or {}),
        "model.path": model,
        "data.paths": (data,) if isinstance(data, str) else tuple(data),
        "selection.budget": budget,
        "run.out": str(out),
    }
    return run(load_config(overrides=overrides), progress=Progress(progress))


def run(
    config: Config, *, progress: Progress, redo: str | None = None, below: str = ""
) -> Selection:
    """Run all stages that the method needs, rank, and write the report.

    Args:
        config: The options.
        progress: Shows each stage.
        redo: Stage to discard first, with all later ones; or ``warmup``, or one of its tables
            (``warmup/history``, ``warmup/checkpoint``). After a warm-up is redone, the selection's
            tables stay valid if it trains the same policy; otherwise an error names them.
        below: Prefix of ``redo`` in the --redo of the larger run that contains this selection.

    Raises:
        LearnAlignError: for errors that the user can fix.
    """
    check_groups(config)
    wanted = required_stages(config.selection.method, config)
    folder = RunFolder(config.run.out, below=below)
    of_warmup = redo_of_warmup(redo, config)
    own = redo if of_warmup is None else None
    if own is not None:
        folder.check_redo(own)  # fail before a possibly long warm-up
    with folder.locked():
        # The folder's config.yaml replays the whole request, including the warm-up.
        warm = run_warmup(config, progress=progress, redo=of_warmup, below=below)
        run_stages(folder, warm, wanted, progress=progress, redo=own, requested=config)
        return score(folder, config, progress)


def check_groups(config: Config) -> None:
    """Reject sampling options that only make sense for evaluation."""
    count, temperature = config.rollouts.num_rollouts, config.rollouts.temperature
    if count < 2 or temperature == 0.0:
        raise LearnAlignError(
            f"got {count} rollouts per problem at temperature {temperature}",
            expected="at least 2 rollouts at a temperature above 0, so that they can differ",
            do="give --num-rollouts 8 --temperature 1",
        )


def score(folder: RunFolder, config: Config, progress: Progress) -> Selection:
    """Rank the problems from the existing tables, and write scores, summary and report.

    Problems of the kinds in ``selection.drop`` are left out; the run is audited for it if it has
    not been.
    """
    ranking = ranked(folder, config, progress)
    excluded = folder.excluded()
    summary = ranking.summary | {"num_excluded": excluded.num_rows}
    summary["spending"] = adaptive.spending(folder)
    summary["verifiers"] = judged_by(folder, config)
    counts = adaptive.counts(folder)
    summary["reused"] = counts["reused"]
    messages = [*warnings(counts), *recorded_warnings(counts), *exclusion_warnings(excluded)]
    messages += gold_warnings(folder, config)
    summary["warnings"] = [*summary["warnings"], *messages]
    folder.write_table("scores.parquet", ranking.scores)
    write_config(folder.path / "config.yaml", config)
    folder.set_summary(summary)
    report(folder, config)
    return Selection(folder.path, ranking.scores, excluded, summary)


def ranked(folder: RunFolder, config: Config, progress: Progress | None = None) -> Ranking:
    """Rank the problems from the existing tables, without those that ``selection.drop`` leaves out.

    Nothing is written, except for the audit that says which these are.
    """
    columns = ["problem_id", "source", "difficulty", "position"]
    by_kind = dropped(folder, config, progress or Progress("none"))
    reward_stats = _without(stages.reward_stats(folder), by_kind)
    ids = reward_stats["problem_id"].to_pylist()
    history = _history(folder, config)
    done = {name for name, record in folder.manifest.stages.items() if record.complete}
    requires = method_named(config.selection.method).requires
    tables = {
        name: partial(folder.batches, name)
        for name in ("gradients", "features")
        if name in requires & done
    }
    ranking = rank(
        reward_stats,
        pa.concat_tables(shard.select(columns) for shard in folder.shards("problems")),
        lambda: folder.shards("verdicts"),
        config.selection,
        history=None if history is None else history.rates(ids),
        target=target_ids(config.selection.target, folder),
        seed=config.run.seed,
        **tables,
    )
    summary = ranking.summary
    if history is not None:
        summary["warnings"] = [*summary["warnings"], *history.warnings]
    summary["dropped"] = {kind: len(names) for kind, names in by_kind.items()}
    return ranking


def _without(reward_stats: pa.Table, by_kind: dict[str, set[str]]) -> pa.Table:
    """Leave problems out.

    Raises:
        LearnAlignError: if none is left.
    """
    names = pa.array(sorted(set[str]().union(*by_kind.values())), pa.string())
    kept = reward_stats.filter(pc.invert(pc.is_in(reward_stats["problem_id"], names)))
    if reward_stats.num_rows and not kept.num_rows:
        counts = ", ".join(f"{kind} {len(part):,}" for kind, part in by_kind.items())
        raise LearnAlignError(
            f"got --drop {','.join(by_kind)}, which leaves out all problems ({counts})",
            expected="some problem that is left to select from",
            do="drop fewer kinds, or see the audit's page",
        )
    return kept


def _history(folder: RunFolder, config: Config) -> SuccessHistory | None:
    """Read the history of --history, if any; the run's problems are those of its rollouts."""
    path = config.selection.history
    if path is None:
        return None

    def join() -> Join:
        from learnalign.models.loading import load_tokenizer

        return Join(folder.shards("problems"), load_tokenizer(config.model))

    rollouts = config.rollouts
    return read_history(
        path, join, reward_column=rollouts.recorded_reward, scale=rollouts.recorded_scale
    )


def report(folder: RunFolder, config: Config) -> Path:
    """Write ``report.html`` from the existing tables."""
    from learnalign.reporting.examples import shown_ids
    from learnalign.reporting.report import ReportData, write_report

    scores = folder.scores()
    first, last = shown_ids(scores)
    shown = pa.array([*first, *last], pa.string())

    def of_shown(stage: str) -> pa.Table:
        return pa.concat_tables(
            shard.filter(pc.is_in(shard["problem_id"], shown)) for shard in folder.shards(stage)
        )

    data = ReportData(
        title=f"{folder.path.name}: {Path(config.model.path).name}",
        config=config.model_dump(mode="json"),
        manifest=folder.manifest.plain(),
        problems=of_shown("problems"),
        rollouts=of_shown("rollouts"),
        verdicts=folder.table("verdicts"),
        scores=scores,
        excluded=folder.excluded(),
        summary=folder.manifest.summary,
        audit=audit_counts(folder),
        explored=_explored(folder),
    )
    path = folder.path / "report.html"
    write_report(data, path)
    return path


def _explored(folder: RunFolder) -> Literal["", "explore.html", "outdated"]:
    """Say whether the page of `learnalign explore` is beside the report and shows this ranking."""
    from learnalign.exploring.page import NAME, shown_ranking

    shown = shown_ranking(folder.path / NAME)
    if shown is None:
        return ""
    return "explore.html" if shown == folder.manifest.files["scores.parquet"] else "outdated"
