"""Rank a run's problems by every method whose tables it has."""

from collections.abc import Iterator

import pyarrow as pa

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder
from learnalign.selecting.methods.registry import METHODS
from learnalign.workflows.select import ranked


def rankings(
    folder: RunFolder, config: Config, *, budgeted: bool
) -> Iterator[tuple[str, pa.Table]]:
    """Yield the name and SCORES of each method, without computing a table that the run lacks.

    Args:
        folder: The run.
        config: Its options; the budget is that of ``selection``.
        budgeted: Also use methods whose ranking depends on the budget.
    """
    done = {name for name, record in folder.manifest.stages.items() if record.complete}
    have = {"rewards"} | (done & {"gradients", "features"})
    have |= {"history"} if config.selection.history else set()
    have |= {"rows"} if budgeted and "gradients" in done else set()
    for name, method in METHODS.items():
        if not method.requires <= have or (method.needs_target and not config.selection.target):
            continue
        plain = config.selection.model_copy(update={"method": name, "num_bootstrap": 0})
        try:
            scores = ranked(folder, config.model_copy(update={"selection": plain})).scores
        except LearnAlignError:  # this pool has no signal, or no value of the method's
            continue
        yield name, scores
