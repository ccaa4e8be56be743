"""When a worker cannot import its verifier: what the user is told."""

from typing import Any

from learnalign.errors import LearnAlignError

#: How much of what a worker said before it ended is shown.
_SHOWN = 1_500


def refusal(said: Any) -> LearnAlignError | None:
    """Read what a worker says of its import: nothing if it is ready, or why it is not.

    Raises:
        TypeError: if it is neither.
    """
    return None if said is None else LearnAlignError(**said)


def too_slow(kind: str, seconds: float) -> LearnAlignError:
    """Say that an import took too long."""
    return LearnAlignError(
        f"the verifier '{kind}' was not imported within {seconds:g} s",
        expected="a module that is imported quickly",
        do="load what takes long when the function is first called",
    )


def ended(kind: str, how: str, said: str) -> LearnAlignError:
    """Say that the worker's process ended during the import.

    Args:
        kind: The verifier.
        how: What is known of the end.
        said: The end of the worker's error stream.
    """
    words = f"; it said:\n{said[-_SHOWN:]}" if said else ""
    return LearnAlignError(
        f"cannot import the verifier '{kind}': {how}{words}",
        expected="a module that lets its process live, within its limits",
        do="mend it; memory is a matter of verifier.memory_mb and of ulimit -v",
    )
