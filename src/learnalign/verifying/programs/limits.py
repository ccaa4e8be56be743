"""How programs are run: where, for how long, with how much memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """How programs are run; see `learnalign.config.VerifierConfig`."""

    sandbox: str = "bubblewrap"
    url: str | None = None
    timeout_s: float = 5.0
    total_s: float = 60.0
    memory_mb: int = 1024
    stop_early: bool = True
    """End at the first test that fails."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Limits":
        """Create them from the options of the section ``verifier``."""
        return cls(
            sandbox=options["sandbox"],
            url=options["sandbox_url"],
            timeout_s=options["test_timeout_s"],
            total_s=options["program_timeout_s"],
            memory_mb=options["program_memory_mb"],
            stop_early=options["credit"] == "all",
        )
