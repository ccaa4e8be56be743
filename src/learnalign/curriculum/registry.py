"""The curricula by name."""

import inspect
from typing import Any

from learnalign.curriculum.base import Curriculum
from learnalign.curriculum.dynamic import Dynamic
from learnalign.curriculum.greso import GRESO
from learnalign.curriculum.learnalign import LearnAlign
from learnalign.curriculum.mapp import MaPP
from learnalign.curriculum.mopps import MoPPS
from learnalign.curriculum.order import Order
from learnalign.errors import LearnAlignError, nearest

CURRICULA: dict[str, type[Curriculum]] = {
    kind.name: kind for kind in (Order, Dynamic, MoPPS, GRESO, MaPP, LearnAlign)
}


def curriculum_named(name: str, num_problems: int, *, seed: int = 0, **options: Any) -> Curriculum:
    """Make a curriculum.

    Args:
        name: A name in CURRICULA.
        num_problems: Number of problems in the pool.
        seed: Seed of its random choices.
        options: The other arguments of its class.

    Raises:
        LearnAlignError: for an unknown name or option, or a value that an option cannot have.

    Example:
        >>> curriculum_named("order", 3, shuffled=False).next_batch(2).tolist()
        [0, 1]
        >>> curriculum_named("greco", 3)
        Traceback (most recent call last):
            ...
        learnalign.errors.LearnAlignError: got the curriculum 'greco'
          expected: the nearest is 'greso'
          to do: choose one by its name
    """
    known = option_names(name)
    for option in options:
        if option not in known:
            raise LearnAlignError(
                f"got the option {option!r} of the curriculum {name!r}",
                expected=nearest(option, known),
                do="remove it, or choose another curriculum",
            )
    return CURRICULA[name](num_problems, seed=seed, **options)


def option_names(name: str) -> set[str]:
    """Return the names of a curriculum's options, without those that all have.

    Raises:
        LearnAlignError: for an unknown curriculum.

    Example:
        >>> sorted(option_names("mapp"))
        ['counts', 'discount', 'num_rollouts']
    """
    if not isinstance(name, str) or name not in CURRICULA:
        raise LearnAlignError(
            f"got the curriculum {name!r}",
            expected=nearest(str(name), CURRICULA),
            do="choose one by its name",
        )
    return set(inspect.signature(CURRICULA[name]).parameters) - {"num_problems", "seed"}
