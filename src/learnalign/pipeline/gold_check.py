"""Check each gold answer with its own verifier, while the pool is read."""

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
    """Exclude problems whose gold its own verifier does not accept: they cannot be solved.

    A user's function is not called, and recorded rewards need no gold.

    Args:
        problems: Rows of PROBLEMS.
        config: The options.
        excluded: Rows of EXCLUDED, to which the excluded problems are appended.
        progress: Shows the check.

    Returns:
        The problems that stay, in order.
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
    for problem, rejection in zip(problems, reasons, strict=True):
        if rejection is None:
            kept.append(problem)
            continue
        source = {key: problem[key] for key in ("problem_id", "source_index", "source_row")}
        reason, detail = rejection
        excluded.append(source | {"stage": "problems", "reason": reason, "detail": detail})
    return kept
