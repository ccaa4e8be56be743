"""Run the stages that a command needs, in order; finished ones are kept."""

from collections.abc import Sequence
from contextlib import nullcontext

from learnalign import __version__
from learnalign.config import Config
from learnalign.config.load import write_config
from learnalign.pipeline.executor import compute_table, open_cluster
from learnalign.pipeline.fingerprints import reference_model
from learnalign.pipeline.imported import require_files
from learnalign.pipeline.order import dependent_stages, stage_options
from learnalign.pipeline.problems import read_problems, report_problems
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.reuse import reusable_folder
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Progress
from learnalign.verifying.verifier import open_verifier


def run_stages(
    folder: RunFolder,
    config: Config,
    wanted: Sequence[str],
    *,
    progress: Progress,
    redo: str | None = None,
    requested: Config | None = None,
) -> None:
    """Run the stages that are not finished. The folder must be locked.

    Args:
        folder: Where the tables are.
        config: The options.
        wanted: The stages, in order; see `required_stages` and `stages_through`.
        progress: Shows each stage.
        redo: Table to discard first, with those that depend on it.
        requested: The options to write to ``config.yaml``, if not ``config``.

    Raises:
        LearnAlignError: before any work, if an existing table was computed with other options.
    """
    if redo is not None or not _all_complete(folder, wanted):
        with open_verifier(config.verifier):
            pass  # an unknown verifier, or a function that cannot be imported, ends the run here
    require_files(config.rollouts)  # so does an unknown format, or a pickle
    if "references" in wanted:
        reference_model(config)  # so does a reference that is missing, or the policy itself
    if config.rollouts.reuse is not None and not _all_complete(folder, wanted):
        reusable_folder(config)  # and rollouts that cannot be reused
    if redo is not None:
        folder.check_redo(redo)
        folder.discard_tables(dependent_stages(redo))
    options = stage_options(config, wanted)
    for stage in wanted:
        if stage in folder.manifest.stages:
            folder.begin(stage, options[stage])
    folder.manifest.learnalign = __version__
    write_config(folder.path / "config.yaml", requested or config)
    cluster_or_none = nullcontext() if _all_complete(folder, wanted) else open_cluster(config)
    with Resources(config, progress) as resources, cluster_or_none as cluster:
        for stage in wanted:
            complete = folder.begin(stage, options[stage]).complete
            if stage == "problems":
                if not complete:
                    read_problems(folder, config, resources, progress)
                report_problems(folder, config, progress, resumed=complete)
            elif not complete:
                compute_table(folder, stage, resources, progress, cluster)


def _all_complete(folder: RunFolder, wanted: Sequence[str]) -> bool:
    records = folder.manifest.stages
    return all(stage in records and records[stage].complete for stage in wanted)
