"""``gold-unaccepted``: golds that the verifier does not accept: nothing can be right."""

from collections.abc import Iterable, Mapping
from typing import Any

from learnalign.auditing.finding import Finding

#: Why such problems leave the pool.
REASONS = ("rejected_gold", "unparsed_gold")


def unaccepted_golds(
    excluded: Iterable[Mapping[str, Any]], checked: Mapping[str, tuple[str, str]]
) -> list[Finding]:
    """Find golds that the verifier does not accept as answers to their own problems.

    The score is 1 for a gold that is read and rejected, and 0.9 for one that cannot be read.

    Args:
        excluded: Rows of EXCLUDED.
        checked: (reason, detail) by problem, of golds that no stage has checked.

    Example:
        >>> row = {"problem_id": "a", "reason": "unparsed_gold", "detail": "no answer in '?'"}
        >>> unaccepted_golds([row], {"b": ("rejected_gold", "read as '3'")})[0].evidence
        "rejected gold: read as '3'"
    """
    reasons = {
        row["problem_id"]: (row["reason"], row["detail"] or "")
        for row in excluded
        if row["reason"] in REASONS
    } | dict(checked)
    found = []
    for name, (reason, detail) in reasons.items():
        text = f"{reason.replace('_', ' ')}: {detail}" if detail else reason.replace("_", " ")
        found.append(Finding(name, 1.0 if reason == REASONS[0] else 0.9, text))
    return sorted(found, key=lambda finding: (-finding.score, finding.problem_id))
