"""Run the stages that a verb needs, in order; finished ones are kept."""

from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version

from learnalign.config import Config
from learnalign.config.load import write_config
from learnalign.errors import LearnAlignError
from learnalign.pipeline import adaptive
from learnalign.pipeline.executor import make_table, open_cluster
from learnalign.pipeline.fingerprints import reference_model, stage_options
from learnalign.pipeline.problems import make_problems
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.verifiers import verifier_line
from learnalign.runs.folder import RunFolder
from learnalign.selecting.methods.registry import method_named
from learnalign.selecting.order import budget_count
from learnalign.terminal.progress import Progress
from learnalign.verifying.verifier import open_verifier


def stages_through(last: str, config: Config) -> tuple[str, ...]:
    """Name the stages from the problems to ``last``, one of verdicts and gradients."""
    chain = ["problems", *adaptive.names(config), "rollouts", "verdicts"]
    if last == "gradients":
        chain += [*(["references"] if config.gradients.kl_beta > 0.0 else []), "gradients"]
    return tuple(chain)


def required_stages(method: str, config: Config) -> tuple[str, ...]:
    """Name the stages whose tables a method looks at; rewards are always there to be reported.

    Raises:
        LearnAlignError: for an unknown method, and one that wants ratings nobody asks for.
    """
    requires = method_named(method).requires
    if "ratings" in requires and not config.features.ratings:
        raise LearnAlignError(
            f"method {method} looks at the model's ratings, which cost five passes a problem",
            expected="features.ratings: true",
            do="add --set features.ratings=true",
        )
    chain = stages_through("gradients" if "gradients" in requires else "verdicts", config)
    return (*chain, "features") if "features" in requires else chain


def run_stages(
    folder: RunFolder,
    config: Config,
    wanted: Sequence[str],
    *,
    progress: Progress,
    redo: str | None = None,
    asked: Config | None = None,
) -> None:
    """Do the stages that are not done yet. The folder must be locked.

    Args:
        folder: Where the tables lie.
        config: The options.
        wanted: The stages, in their order; see `required_stages` and `stages_through`.
        progress: Shows each stage.
        redo: Stage to throw away first, with those after it.
        asked: What to keep as ``config.yaml``, if it is not ``config``.

    Raises:
        LearnAlignError: before any work, if a table there was made with other options.
    """
    if redo is not None or not _all_done(folder, wanted):
        with open_verifier(config.verifier):
            pass  # its name is right, and a function of the user's can be imported
    if "references" in wanted:
        reference_model(config)  # there is one, and it is not the policy itself
    if redo is not None:
        folder.redo(redo)
    for stage in wanted:
        if stage in folder.manifest.stages:
            folder.begin(stage, stage_options(config, stage))
    folder.manifest.learnalign = version("learnalign")
    write_config(folder.path / "config.yaml", asked or config)
    where = nullcontext() if _all_done(folder, wanted) else open_cluster(config)
    with Resources(config) as resources, where as cluster:
        for stage in wanted:
            if not folder.begin(stage, stage_options(config, stage)).complete:
                if stage == "problems":
                    make_problems(folder, config, resources, progress)
                else:
                    make_table(folder, stage, resources, progress, cluster)
            elif stage == "problems":
                for line in folder.manifest.stages[stage].facts.get("reading", []):
                    progress.log(line)
            if stage == "problems":
                verifiers = folder.manifest.stages[stage].facts.get("verifiers")
                if verifiers and config.verifier.kind == "auto":
                    progress.log(verifier_line(verifiers, recorded=bool(config.rollouts.recorded)))
                rows = sum(shard.rows for shard in folder.manifest.stages[stage].shards.values())
                budget_count(config.selection.budget, rows)


def _all_done(folder: RunFolder, wanted: Sequence[str]) -> bool:
    records = folder.manifest.stages
    return all(stage in records and records[stage].complete for stage in wanted)
