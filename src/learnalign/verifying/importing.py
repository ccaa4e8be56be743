"""Errors for a worker that cannot import its verifier."""

from typing import Any

from learnalign.errors import LearnAlignError

#: Characters shown of a worker's error stream.
_SHOWN = 1_500


def refusal(response: Any) -> LearnAlignError | None:
    """Read a worker's import response: nothing if it is ready, or why it is not.

    Raises:
        TypeError: if it is neither.
    """
    return None if response is None else LearnAlignError(**response)


def too_slow(kind: str, seconds: float) -> LearnAlignError:
    """Say that an import took too long."""
    return LearnAlignError(
        f"the verifier '{kind}' was not imported within {seconds:g} s",
        expected="a module that is imported quickly",
        do="move slow loading into the first call of the function",
    )


def ended(kind: str, how: str, stderr: str) -> LearnAlignError:
    """Say that the worker's process ended during the import.

    Args:
        kind: The verifier.
        how: What is known of the end.
        stderr: The end of the worker's error stream.
    """
    words = f"; it said:\n{stderr[-_SHOWN:]}" if stderr else ""
    return LearnAlignError(
        f"cannot import the verifier '{kind}': {how}{words}",
        expected="a module that imports without ending its process, within its limits",
        do="fix the module; for memory, raise verifier.memory_mb or ulimit -v",
    )
