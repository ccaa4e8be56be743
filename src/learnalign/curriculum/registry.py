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
        LearnAlignError: for an unknown name or option.

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
    if name not in CURRICULA:
        raise LearnAlignError(
            f"got the curriculum {name!r}",
            expected=nearest(name, CURRICULA),
            do="choose one by its name",
        )
    kind = CURRICULA[name]
    known = set(inspect.signature(kind).parameters) - {"num_problems", "seed"}
    for option in options:
        if option not in known:
            raise LearnAlignError(
                f"got the option {option!r} of the curriculum {name!r}",
                expected=nearest(option, known),
                do="remove it, or choose another curriculum",
            )
    return kind(num_problems, seed=seed, **options)
