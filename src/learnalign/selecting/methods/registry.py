"""The selection methods by name: what each requires, and how it scores.

A method is a function from `Candidates` to scores, higher is better, and an entry in METHODS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from learnalign.errors import LearnAlignError, nearest
from learnalign.selecting.candidates import Candidates, Floats
from learnalign.selecting.methods import diversity, gradients, rewards, text
from learnalign.selecting.methods.histories import history_variance, limr

#: The reference of the alignment: the pool's mean of V_j unit(row_j), of unit(row_j), or of the
#: raw gradients.
Reference = Literal["learnability", "unit", "gradient"]


@dataclass(frozen=True)
class Method:
    """A selection method."""

    score: Callable[[Candidates], Floats]
    requires: frozenset[str] = frozenset()
    """Any of ``rewards``, ``gradients``, ``rows`` (the gradients for pairwise comparison),
    ``features``, ``ratings`` (a column of the features, computed on request) and ``history``."""
    aligns: Literal["gradients", "features"] | None = None
    """The table whose rows are aligned to their mean."""
    reference: Reference = "learnability"
    needs_target: bool = False


def _method(score: Callable[[Candidates], Floats], *requires: str) -> Method:
    return Method(score, frozenset(requires))


def _aligned(
    score: Callable[[Candidates], Floats],
    reference: Reference = "learnability",
    *,
    to: Literal["gradients", "features"] = "gradients",
    pairs: bool = False,
    needs_target: bool = False,
) -> Method:
    requires = {"rewards", to} | ({"rows"} if pairs else set())
    return Method(score, frozenset(requires), to, reference, needs_target)


METHODS: dict[str, Method] = {
    "signal": _method(rewards.signal, "rewards"),
    "learnalign": _aligned(gradients.learnalign),
    "learnability": _method(rewards.learnability, "rewards"),
    "alignment": _aligned(gradients.alignment, "unit"),
    "inner_product": _aligned(gradients.inner_product, "gradient"),
    "gradalign": _aligned(gradients.gradalign, "gradient", needs_target=True),
    "diverse": _aligned(diversity.diverse, pairs=True),
    "facility_location": _aligned(diversity.facility_location, pairs=True),
    "features": _aligned(text.features, to="features"),
    "band": _method(rewards.band, "rewards"),
    "perplexity_top": _method(text.perplexity_top, "features"),
    "perplexity_middle": _method(text.perplexity_middle, "features"),
    "ifd": _method(text.ifd, "features"),
    "token_length": _method(text.token_length, "features"),
    "selectit": _method(text.selectit, "features", "ratings"),
    "limr": _method(lambda candidates: limr(candidates.history), "history"),
    "history_variance": _method(lambda candidates: history_variance(candidates.history), "history"),
    "random": _method(rewards.random),
}


def method_named(name: str) -> Method:
    """Look up a method by name.

    Raises:
        LearnAlignError: if the name is unknown; suggests the nearest.

    Example:
        >>> sorted(method_named("learnability").requires)
        ['rewards']
    """
    if name not in METHODS:
        raise LearnAlignError(
            f"got the method '{name}'",
            expected=f"one of {', '.join(METHODS)}: {nearest(name, METHODS)}",
            do="correct --method",
        )
    return METHODS[name]
