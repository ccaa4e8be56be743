"""What to do next: by the forecast of the gain, and by trainings that chose inside."""

from dataclasses import dataclass
from typing import Literal

from learnalign.profiling.costs import Plan
from learnalign.profiling.gain import Forecast, forecast_gain
from learnalign.profiling.measures import Measures, Share

#: Below this share, where choosing once does not pay, choosing inside the training does: the middle
#: between the two pools that were measured, an eighth and a third of the groups with a signal.
_SCARCE = 0.2
#: Above this share of rollouts, the format is a problem before the choice is one.
_MANY = 0.1


@dataclass(frozen=True)
class Advice:
    """What to do, why, and how sure that is."""

    action: Literal["train", "select", "curriculum", "stop"]
    """train: on everything or random problems; select: choose once, problems with a signal;
    curriculum: choose inside the training; stop: there is nothing to learn from."""
    headline: str
    evidence: str
    """The measured trainings that the advice follows, and how thin they are."""
    sure: bool
    """Whether the whole interval of the share with a signal leads to the same action."""
    forecast: Forecast | None
    """What selecting gains; None where there is no signal."""
    warnings: tuple[str, ...] = ()
    """What to fix before anything is paid for."""


_HEADLINES = {
    "train": "do not select: train",
    "select": "select problems with a signal, then train",
    "curriculum": "do not select once: choose inside the training",
    "stop": "do not train on this pool yet: none of the sampled problems has a signal",
}
_EVIDENCE = {
    "train": "trainings of a tiny model on 17 pools: with as many problems with a signal, training "
    "on the whole pool for as long as choosing and training take was as good or better "
    "(docs/results/paying.md)",
    "select": "trainings of a tiny model on 17 pools: with as few problems with a signal, as many "
    "passes and as cheap a choice, the chosen problems were better than the whole pool for as long "
    "(docs/results/paying.md)",
    "curriculum": "where an eighth of the groups had a signal, choosing inside the training was "
    "0.046 (0.003 to 0.090) above shuffled passes at equal rollouts (one small model, one pool: "
    "docs/results/curriculum_trainings.md)",
    "stop": "a problem whose rollouts all get the same reward has no policy gradient",
}


def advise(measures: Measures, plan: Plan) -> Advice:
    """Advise from the share with a signal and from what is planned.

    Args:
        measures: What was measured.
        plan: The choice and the training.

    Example:
        >>> from learnalign.profiling.measures import Share
        >>> def pool(share, low, high, unread=0.0):
        ...     signal, none = Share(0, 9, share, low, high), Share(0, 9, 0.0)
        ...     return Measures(
        ...         9, 72, 0.4, signal, none, none, none, Share(0, 72, unread), 50.0, {}
        ...     )
        >>> def plan(passes, reused=0):
        ...     return Plan(pool=1600, chosen=160, passes=passes, num_rollouts=8, reused=reused)
        >>> advise(pool(0.7, 0.6, 0.8), plan(4)).headline
        'do not select: train'
        >>> [advise(pool(0.1, 0.08, 0.12), plan(passes)).action for passes in (1, 4)]
        ['curriculum', 'select']
        >>> advise(pool(0.1, 0.08, 0.12), plan(1, reused=1600)).action
        'select'
    """
    share = measures.signal
    action = _action(share, plan)
    ends = [Share(0, 0, end) for end in (share.low, share.high) if end is not None]
    return Advice(
        action=action,
        headline=_HEADLINES[action],
        evidence=_EVIDENCE[action],
        sure=all(_action(end, plan) == action for end in ends),
        forecast=forecast_gain(share, plan) if share.share else None,
        warnings=_warnings(measures),
    )


def _action(share: Share, plan: Plan) -> Literal["train", "select", "curriculum", "stop"]:
    if share.share == 0.0:
        return "stop"
    if forecast_gain(share, plan).over_pool.mean > 0.0:
        return "select"
    return "curriculum" if share.share < _SCARCE else "train"


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
