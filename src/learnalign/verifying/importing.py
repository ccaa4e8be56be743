"""Errors for a worker that cannot import its verifier."""

from typing import Any

from learnalign.errors import LearnAlignError

#: Characters shown of a worker's error stream.
_SHOWN = 1_500


def refusal(response: Any) -> LearnAlignError | None:
    """Decode a worker's import response: None if it is ready, else the error.

    Raises:
        TypeError: for any other response.
    """
    return None if response is None else LearnAlignError(**response)


def too_slow(kind: str, seconds: float) -> LearnAlignError:
    """Create the error for an import that took too long."""
    return LearnAlignError(
        f"the verifier '{kind}' was not imported within {seconds:g} s",
        expected="a module that imports quickly",
        do="move slow loading into the first call of the function",
    )


def ended(kind: str, how: str, stderr: str) -> LearnAlignError:
    """Create the error for a worker process that ended during the import.

    Args:
        kind: The verifier.
        how: How the process ended.
        stderr: The end of the worker's error stream.
    """
    output = f"; its error output:\n{stderr[-_SHOWN:]}" if stderr else ""
    return LearnAlignError(
        f"cannot import the verifier '{kind}': {how}{output}",
        expected="a module that imports without ending its process, within its limits",
        do="fix the module; for memory, raise verifier.memory_mb or ulimit -v",
    )
