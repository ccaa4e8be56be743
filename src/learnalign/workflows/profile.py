"""The profile workflow: sample some problems, and say whether choosing is worth its cost."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.pipeline import stages
from learnalign.pipeline.order import stages_through
from learnalign.pipeline.reuse import PROMPT_COLUMNS, reused_groups
from learnalign.pipeline.run_stages import run_stages
from learnalign.pipeline.warnings import exclusion_warnings
from learnalign.profiling.advice import Advice, advise
from learnalign.profiling.costs import Cost, Plan, forecast
from learnalign.profiling.measures import MEASURED, Measures, measure
from learnalign.reporting.profile import write_page
from learnalign.runs.folder import RunFolder
from learnalign.selecting.order import budget_count
from learnalign.storage import files
from learnalign.terminal.commands import command_line
from learnalign.terminal.progress import Progress, ProgressKind
from learnalign.workflows.select import check_groups
from learnalign.workflows.speed import Gpus, Speed, measured_speed

#: What a profile assumes unless it is given: the sample, the choice that is planned, the folder.
DEFAULTS: dict[str, dict[str, Any]] = {
    "data": {"sample": 200},
    "selection": {"budget": 0.1},
    "run": {"out": "runs/profile"},
}


@dataclass(frozen=True)
class Profile:
    """A finished profile."""

    path: Path
    """The run folder, whose rollouts ``select --reuse`` takes."""
    measures: Measures
    """Shares with a signal, always and never solved, and success by group."""
    plan: Plan
    """The pool, the choice and the training whose costs are predicted."""
    costs: list[Cost]
    """What choosing costs, and what training on everything or on random problems does."""
    speed: Speed
    """What a rollout and the planned ways take here, and on GPUs."""
    advice: Advice
    """What to do next, and the evidence."""
    command: str
    """The command that does it."""
    next_round: str | None
    """The command that profiles more problems; None if that cannot change the advice."""
    warnings: list[str]
    """About problems that left the sample."""

    @property
    def summary(self) -> dict[str, Any]:
        """Everything as plain data, as in ``profile.json``."""
        found = asdict(self) | {"path": str(self.path)}
        for cost, plain in zip(self.costs, found["costs"], strict=True):
            plain |= self.speed.of(cost.tokens)
        return found


def profile(
    model: str,
    data: str | Sequence[str],
    *,
    problems: int = 200,
    budget: int | float = 0.1,
    out: str | Path = "runs/profile",
    gpus: Gpus | None = None,
    options: Mapping[str, Any] | None = None,
    progress: ProgressKind = "auto",
) -> Profile:
    """Sample some problems of a pool, and predict what choosing among all of them would cost.

    Calling it again with the same arguments resumes the profile, or returns the finished one.

    Args:
        model: Model folder or hub name.
        data: Files, folders, hub names or reasoning-gym specs.
        problems: Number of problems, chosen at random by the seed.
        budget: The choice that is planned: K problems, or a fraction of the pool.
        out: Run folder.
        gpus: Predict hours and prices on these GPUs, too.
        options: Other options by dotted name, e.g. ``{"training.epochs": 4}``.
        progress: ``auto`` shows bars on a terminal and lines elsewhere; ``none`` is silent.

    Raises:
        LearnAlignError: for errors that the user can fix.
    """
    overrides = {
        **(options or {}),
        "model.path": model,
        "data.paths": (data,) if isinstance(data, str) else tuple(data),
        "data.sample": problems,
        "selection.budget": budget,
        "run.out": str(out),
    }
    return run_profile(load_config(overrides=overrides), gpus=gpus, progress=Progress(progress))


def run_profile(
    config: Config, *, progress: Progress, gpus: Gpus | None = None, redo: str | None = None
) -> Profile:
    """Sample and verify rollouts of ``data.sample`` problems, and write ``profile.json`` and a page.

    Args:
        config: The options. ``selection.budget`` and ``training.epochs`` are the plan.
        progress: Shows each stage.
        gpus: Predict hours and prices on these GPUs, too.
        redo: Table to recompute, with all later ones.

    Raises:
        LearnAlignError: for errors that the user can fix.
    """  # noqa: E501
    check_profile(config, gpus)
    folder = RunFolder(config.run.out)
    sampling = _changed(config, "selection", budget=None)  # of the whole pool, not of the sample
    sampling = _changed(sampling, "rollouts", spend="full")
    with folder.locked():
        wanted = stages_through("verdicts", sampling)
        run_stages(folder, sampling, wanted, progress=progress, redo=redo, requested=config)
        done = _profile(folder, config, gpus)
        text = json.dumps(done.summary, indent=1, default=str) + "\n"
        files.write_text(folder.path / "profile.json", text)
        write_page(folder.path / "profile.html", _title(config), done.summary)
        return done


def check_profile(config: Config, gpus: Gpus | None = None) -> None:
    """Check that there is something to measure.

    Raises:
        LearnAlignError: for rollouts that are not sampled here and now, or by another policy; and
            for a GPU whose speed neither is known nor can be measured.
    """
    check_groups(config)
    for given, why in (
        (config.rollouts.engine == "recorded", "recorded rollouts: they are paid for already"),
        (config.selection.warmup is not None, "--warmup: it profiles the policy as it is"),
    ):
        if given:
            raise LearnAlignError(
                f"got a profile with {why}",
                expected="a model, or a server, that samples",
                do="leave that option out; with recorded rollouts run learnalign select",
            )
    if gpus is not None:
        gpus.tokens_per_second_of(None, config)


def measured(folder: RunFolder) -> pa.Table:
    """Collect MEASURED from a run's tables: its verified problems that are still in the pool."""
    sampled, tokens, unread = Counter[str](), Counter[str](), Counter[str]()
    for batch in folder.batches("rollouts", ["problem_id", "token_ids"]):
        lengths = pc.list_value_length(batch["token_ids"]).to_pylist()
        for name, length in zip(batch["problem_id"].to_pylist(), lengths, strict=True):
            sampled[name] += 1
            tokens[name] += length or 0
    for batch in folder.batches("verdicts", ["problem_id", "verdict"]):
        for row in batch.to_pylist():
            unread[row["problem_id"]] += row["verdict"] == "unparsed_answer"
    columns = ["problem_id", "source", "difficulty", "prompt_ids"]
    about = {
        row["problem_id"]: row
        for batch in folder.batches("problems", columns)
        for row in batch.to_pylist()
    }
    rows = [
        row
        | {name: about[row["problem_id"]][name] for name in ("source", "difficulty")}
        | {
            "prompt_tokens": len(about[row["problem_id"]]["prompt_ids"]),
            "num_sampled": sampled[row["problem_id"]],
            "response_tokens": tokens[row["problem_id"]],
            "num_unread": unread[row["problem_id"]],
        }
        for row in stages.reward_stats(folder).to_pylist()
        if row["success_rate"] is not None
    ]
    return pa.Table.from_pylist(rows, schema=MEASURED)


def _profile(folder: RunFolder, config: Config, gpus: Gpus | None) -> Profile:
    table = measured(folder)
    excluded = folder.excluded()
    warnings = exclusion_warnings(excluded)
    if not table.num_rows:
        raise LearnAlignError(
            f"no problem of {folder.path} has rewards: " + "; ".join(warnings),
            expected="verified rollouts",
            do="check --answer-column and --verifier",
        )
    problems = folder.manifest.stages["problems"]
    rows = sum(shard.rows for shard in problems.shards.values())
    pool = problems.facts.get("pool", rows)  # folders of earlier versions are whole pools
    read = min(pool, config.data.sample or pool)
    usable = max(table.num_rows, round(pool * table.num_rows / read))
    plan = Plan(
        pool=usable,
        chosen=budget_count(config.selection.budget, usable),
        passes=config.training.epochs,
        num_rollouts=config.rollouts.num_rollouts,
        reused=table.num_rows,
    )
    measures = measure(table)
    expected = round(measures.signal.share * usable)
    if expected < plan.chosen:
        warnings.append(
            f"about {expected:,} of {usable:,} problems have a signal, fewer than the "
            f"{plan.chosen:,} to be chosen; a smaller --budget costs less to train on"
        )
    costs = forecast(table, plan, seed=config.run.seed)
    advice = advise(measures, plan)
    reused = _reused_ids(folder, config)
    if len(reused) == table.num_rows:
        raise LearnAlignError(
            f"all {len(reused):,} problems are reused from {config.rollouts.reuse}: nothing was "
            "sampled here, so that no time can be measured",
            expected="more --problems than were sampled before",
            do=f"give --problems {4 * len(reused)}",
        )
    return Profile(
        path=folder.path,
        measures=measures,
        plan=plan,
        costs=costs,
        speed=measured_speed(folder, config, measures.tokens, gpus, reused),
        advice=advice,
        command=_command(config, advice.action, table["problem_id"][0].as_py()),
        next_round=None if advice.sure or read == pool else _next_round(config, read, pool),
        warnings=warnings,
    )


def _reused_ids(folder: RunFolder, config: Config) -> set[str]:
    """Return the problems whose rollouts an earlier run sampled."""
    if config.rollouts.reuse is None:
        return set()
    groups = reused_groups(config, folder.batches("problems", PROMPT_COLUMNS))
    return set(groups["problem_id"].to_pylist())


def _next_round(config: Config, read: int, pool: int) -> str:
    """Return the command that profiles four times as many problems, these among them."""
    out = str(config.run.out)
    more = min(pool, 4 * read)
    same = ["--config", f"{out}/config.yaml", "--reuse", out]
    return command_line("profile", *same, "--problems", more, "--out", f"{out}-{more}")


def _command(config: Config, action: str, example: str) -> str:
    """Return the command to run next. It repeats the profile's options, without its sample."""
    out = str(config.run.out)
    same = ["--config", f"{out}/config.yaml", "--set", "data.sample=null"]
    choice = ["--method", "signal", "--budget", str(config.selection.budget)]
    commands = {
        "train": ["train", *same, "--out", "runs/train"],
        "curriculum": ["train", *same, "--curriculum", "learnalign", "--out", "runs/train"],
        "select": ["select", *same, "--reuse", out, *choice, "--out", "runs/select"],
        "stop": ["inspect", out, example],
    }
    return command_line(*commands[action])


def _title(config: Config) -> str:
    model = config.model.path.rstrip("/").rsplit("/", 1)[-1]
    return f"Profile of {', '.join(config.data.paths)} for {model}"


def _changed(config: Config, section: str, **values: Any) -> Config:
    changed = getattr(config, section).model_copy(update=values)
    return config.model_copy(update={section: changed})
