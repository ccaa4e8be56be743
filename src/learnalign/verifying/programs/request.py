"""What a request to judge programs needs besides its tests and completions."""

from typing import Any

from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError
from learnalign.verifying.programs import bubblewrap

#: The verifier of code problems.
PROGRAM = "program"
#: Seconds to create sandboxes and to load tests, besides a program's own time.
_MARGIN_S = 120.0


def program_request(config: VerifierConfig) -> dict[str, Any]:
    """Return the options, and how long a worker may take for one program.

    Raises:
        LearnAlignError: if the sandbox cannot be created on this machine, or for the URL of a
            server that it does not use.
    """
    if config.sandbox_url is not None and config.sandbox in ("bubblewrap", "none"):
        raise LearnAlignError(
            f"got a server for the sandbox '{config.sandbox}', which runs on this machine",
            expected="--sandbox sandbox-fusion, piston or open-instruct",
            do="choose one, or leave out verifier.sandbox_url",
        )
    if config.sandbox == "bubblewrap":
        bubblewrap.require()
    return {
        "options": config.model_dump(mode="json"),
        "wait_s": 2 * config.program_timeout_s + _MARGIN_S,
    }
