"""Save what a person marked on the page in the run's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.problems.subsets import Subset, checked, write_subset
from learnalign.runs.folder import RunFolder


def save_subset(runs: Sequence[Path], request: dict[str, Any]) -> dict[str, Any]:
    """Check a subset that the page sent, and write it to ``subsets/NAME.json`` of its run.

    Args:
        runs: Folders of the page's runs.
        request: The page's message: run, name, view and problem ids.

    Returns:
        The path of the file, and the number of problems.

    Raises:
        LearnAlignError: if it is no subset of one of the runs, or another subset has the name.
    """
    subset = checked(request, "the request")
    asked = str(request.get("run", ""))
    run = next((path for path in runs if str(path) == asked), None)
    if run is None:
        raise LearnAlignError(
            f"got a subset of '{asked[:200]}'",
            expected=f"a run of the page: {', '.join(map(str, runs))}",
            do="reload the page",
        )
    known = set(RunFolder.existing(run, needs="verdicts").scores()["problem_id"].to_pylist())
    unknown = [name for name in subset.problem_ids if name not in known]
    if unknown or not subset.problem_ids:
        what = f"{len(unknown)} ids that are not in {run}" if unknown else "no ids"
        raise LearnAlignError(f"got {what}", expected="problems of the run", do="reload the page")
    own = Subset(subset.problem_ids, "by hand", subset.view)
    path = write_subset(run / "subsets", str(request.get("name", "")), own, str(run))
    return {"path": str(path), "problems": len(own.problem_ids)}
