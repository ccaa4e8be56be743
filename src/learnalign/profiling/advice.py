"""What to do next, by the few trainings that were measured; a map of more can replace this."""

from dataclasses import dataclass
from typing import Literal

from learnalign.profiling.measures import Measures

#: Where at least this share had a signal, choosing once never paid.
_ENOUGH = 0.5
#: Between the two measured pools, an eighth and a third, nothing is known; this is the middle.
_SCARCE = 0.2
#: Above this share of rollouts, the format is a problem before the choice is one.
_MANY = 0.1


@dataclass(frozen=True)
class Advice:
    """What to do, why, and how sure that is."""

    action: Literal["train", "select", "curriculum", "stop"]
    """train: on everything or random problems; select: choose once, by p(1-p); curriculum: choose
    inside the training; stop: there is nothing to learn from."""
    headline: str
    evidence: str
    """The measured trainings that the advice follows, and how thin they are."""
    sure: bool
    """Whether the whole interval of the share with a signal leads to the same action."""
    warnings: tuple[str, ...] = ()
    """What to fix before anything is paid for."""


_EVIDENCE = {
    "train": "where half of the problems or more had a signal, choosing once did not beat random "
    "problems (two small models, five to eight seeds: docs/results/results.md)",
    "select": "where a third had a signal, p(1-p) reached 0.249, random problems 0.235 and "
    "LearnAlign's score 0.236 (one tiny model, one pool of 2,400, three to six seeds)",
    "curriculum": "where an eighth of the groups had a signal, choosing inside the training was "
    "0.046 (0.003 to 0.090) above shuffled passes at equal rollouts (one tiny model, one pool: "
    "docs/results/curriculum_trainings.md)",
    "stop": "a problem whose rollouts all get the same reward has no policy gradient",
    "costly": "selecting samples every problem once, which a training this short does not earn "
    "back: training on everything costs fewer rollouts",
}


def advise(measures: Measures, *, extra_rollouts: int) -> Advice:
    """Advise from the share with a signal and the cost.

    Args:
        measures: What was measured.
        extra_rollouts: How many more rollouts selecting and training on the chosen take than
            training on everything; negative if fewer.

    Example:
        >>> from learnalign.profiling.measures import Share
        >>> def pool(share, low, high, unread=0.0):
        ...     signal, none = Share(0, 9, share, low, high), Share(0, 9, 0.0)
        ...     return Measures(
        ...         9, 72, 0.4, signal, none, none, none, Share(0, 72, unread), 50.0, {}
        ...     )
        >>> advise(pool(0.7, 0.6, 0.8), extra_rollouts=-500).headline
        'do not select: train'
        >>> found = advise(pool(0.4, 0.3, 0.6), extra_rollouts=-500)
        >>> found.action, found.sure
        ('select', False)
        >>> advise(pool(0.4, 0.3, 0.45), extra_rollouts=500).action
        'train'
        >>> advise(pool(0.1, 0.05, 0.15), extra_rollouts=-500).action
        'curriculum'
    """
    share = measures.signal
    action = _action(share.share, extra_rollouts)
    ends = [end for end in (share.low, share.high) if end is not None]
    costly = action == "train" and share.share < _ENOUGH
    headlines = {
        "train": "do not select: train",
        "select": "select by p(1-p), then train",
        "curriculum": "do not select once: choose inside the training",
        "stop": "do not train on this pool yet: none of the sampled problems has a signal",
    }
    return Advice(
        action=action,
        headline=headlines[action],
        evidence=_EVIDENCE["costly" if costly else action],
        sure=all(_action(end, extra_rollouts) == action for end in ends),
        warnings=_warnings(measures),
    )


def _action(share: float, extra_rollouts: int) -> Literal["train", "select", "curriculum", "stop"]:
    if share >= _ENOUGH:
        return "train"
    if share == 0.0:
        return "stop"
    if share < _SCARCE:
        return "curriculum"
    return "select" if extra_rollouts < 0 else "train"


def _warnings(measures: Measures) -> tuple[str, ...]:
    found = []
    if measures.unread.share > _MANY:
        found.append(
            f"no answer could be read in {measures.unread.share:.0%} of the rollouts: they count "
            "as wrong. Look at some with learnalign inspect; an --instruction that asks for the "
            "verifier's format, or another --verifier, may solve more problems than training"
        )
    if measures.truncated.share > _MANY:
        found.append(
            f"{measures.truncated.share:.0%} of the rollouts reached the limit of tokens: they "
            "rarely contain an answer. A larger --max-tokens changes every number here"
        )
    return tuple(found)
