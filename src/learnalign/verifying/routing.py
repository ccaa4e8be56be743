"""Which verifier judges a problem: the one that was asked for, or what its gold and prompt say."""

from learnalign.problems.gym import is_gym_row
from learnalign.verifying.question import Question

#: The verifiers that have a name; a function of the user's own is the other kind.
KINDS = ("auto", "math", "number", "choice", "words", "time", "code", "text", "reasoning_gym")


def route(kind: str, question: Question) -> str:
    """Say which verifier judges a problem: the one that was asked for, or what ``auto`` means.

    Example:
        >>> route("auto", Question(("4",), row={"metadata": {"source_dataset": "gcd"}}))
        'reasoning_gym'
        >>> route("text", Question(("4",)))
        'text'
    """
    if kind != "auto":
        return kind
    return "reasoning_gym" if is_gym_row(question.row) else "math"
