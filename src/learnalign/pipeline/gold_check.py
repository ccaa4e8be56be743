"""Golds held against their own verifier, while the pool is read."""

from typing import Any

from learnalign.config import Config
from learnalign.terminal.progress import Progress
from learnalign.verifying.verifier import open_verifier


def with_good_golds(
    problems: list[dict[str, Any]],
    config: Config,
    excluded: list[dict[str, Any]],
    progress: Progress,
) -> list[dict[str, Any]]:
    """Leave out problems whose gold answer its own verifier does not accept: none can be solved.

    A function of the user's is not asked, and recorded rewards need no gold.

    Args:
        problems: Rows of PROBLEMS.
        config: The options.
        excluded: Rows of EXCLUDED; those that are left out are added.
        progress: Shows how far the check is.
    """
    kind = config.verifier.kind
    if ":" in kind or (kind == "auto" and config.rollouts.recorded):
        return problems
    with (
        open_verifier(config.verifier) as verifier,
        progress.stage("golds", len(problems)) as advance,
    ):
        reasons = verifier.check_golds(problems, advance)
    kept = []
    for problem, found in zip(problems, reasons, strict=True):
        if found is None:
            kept.append(problem)
            continue
        where = {key: problem[key] for key in ("problem_id", "source_index", "source_row")}
        reason, detail = found
        excluded.append(where | {"stage": "problems", "reason": reason, "detail": detail})
    return kept
