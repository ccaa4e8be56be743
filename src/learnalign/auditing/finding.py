"""A finding: one problem that a person should look at, and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One problem that a person should look at."""

    problem_id: str
    score: float
    """From 0 to 1, how strong the evidence is; each kind says what it is."""
    evidence: str
    """One sentence with the counts."""
    group: str | None = None
    """What findings that belong together share."""
    sample: int | None = None
    """The rollout that shows it; None if none does."""


def ranked(findings: list[Finding]) -> list[Finding]:
    """Sort findings: the strongest first, those of a group together.

    Example:
        >>> found = [Finding("b", 0.5, ""), Finding("a", 0.5, ""), Finding("c", 0.9, "")]
        >>> [finding.problem_id for finding in ranked(found)]
        ['c', 'a', 'b']
    """
    best: dict[str | None, float] = {}
    for finding in findings:
        best[finding.group] = max(best.get(finding.group, 0.0), finding.score)

    def key(finding: Finding) -> tuple[float, str, float, str]:
        together = finding.score if finding.group is None else best[finding.group]
        return -together, finding.group or "", -finding.score, finding.problem_id

    return sorted(findings, key=key)
