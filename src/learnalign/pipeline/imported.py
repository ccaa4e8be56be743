"""What imported rollouts serve: counts have no tokens, so no gradient and nothing to judge."""

import pyarrow.compute as pc

from learnalign.config import Config, RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.rollouts.imports.files import rollout_files
from learnalign.rollouts.imports.registry import format_named
from learnalign.runs.folder import RunFolder
from learnalign.selecting.methods.registry import METHODS


def served_methods(*, tokens: bool) -> list[str]:
    """List the methods that rollouts serve: without tokens, those that need no gradients.

    Example:
        >>> served_methods(tokens=False)[:3]
        ['signal', 'learnability', 'features']
    """
    return [name for name, one in METHODS.items() if tokens or "gradients" not in one.requires]


def problems_without_tokens(folder: RunFolder) -> int:
    """Count the problems of a run of whose rollouts only the rewards are known."""
    missing: set[str] = set()
    for batch in folder.batches("rollouts", ["problem_id", "token_ids"]):
        rows = batch.filter(pc.is_null(batch.column("token_ids")))
        missing.update(rows.column("problem_id").to_pylist())
    return len(missing)


def require_tokens(folder: RunFolder) -> None:
    """Check that all rollouts of a run have tokens.

    Raises:
        LearnAlignError: if some are counts; names the methods that need no gradients.
    """
    missing = problems_without_tokens(folder)
    if missing:
        raise LearnAlignError(
            f"{missing:,} problems have only rewards (counts, or multi-turn rollouts), without the "
            "rollouts' tokens: there is nothing to differentiate",
            expected=f"a method without gradients: {', '.join(served_methods(tokens=False))}",
            do="name one, for example --method learnability, or import the rollouts themselves",
        )


def require_files(rollouts: RolloutConfig) -> None:
    """Check recorded rollouts as far as their names tell, before anything is computed.

    Raises:
        LearnAlignError: for an unknown format, a pickle, or a folder without rollouts.
    """
    if rollouts.recorded_format is not None:
        format_named(rollouts.recorded_format)
    for path in rollouts.recorded:
        rollout_files(path)


def require_served(config: Config) -> None:
    """Check that options do not need more than counts have.

    Raises:
        LearnAlignError: for a verifier, which has no text to judge, and for `--rollouts auto`.
    """
    if config.verifier.kind != "auto":
        raise LearnAlignError(
            f"got --verifier {config.verifier.kind} with rewards alone (counts, or multi-turn "
            "rollouts), which have no text to judge",
            expected="auto: the rewards are the verdicts",
            do="leave out --verifier",
        )
    if config.rollouts.spend == "auto":
        raise LearnAlignError(
            "got --rollouts auto with rewards alone, which cost nothing",
            expected="full: all of them",
            do="leave out --rollouts",
        )
