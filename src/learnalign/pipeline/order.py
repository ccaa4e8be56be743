"""Which stages a run has, in which order, what each depends on, and what follows from each."""

from collections.abc import Iterable

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.stages import STAGES
from learnalign.selecting.methods.registry import method_named


def stages_through(last: str, config: Config) -> tuple[str, ...]:
    """Return the stages that a table needs, and itself, in order.

    Args:
        last: Name of the table.
        config: The options; rounds and references are only part of some runs.

    Example:
        >>> stages_through("gradients", Config())
        ('problems', 'rollouts', 'verdicts', 'gradients')
    """
    needed = {last}
    for name in reversed(STAGES):
        if name in needed:
            needed |= {n for n in STAGES[name].reads if STAGES[n].part_of_run(config)}
    return _ordered(needed)


def required_stages(method: str, config: Config) -> tuple[str, ...]:
    """Return the stages that a selection method needs; verdicts always, for the report.

    Raises:
        LearnAlignError: for an unknown method, or one that needs ratings when
            ``features.ratings`` is off.
    """
    requires = method_named(method).requires
    if "ratings" in requires and not config.features.ratings:
        raise LearnAlignError(
            f"method {method} needs the model's ratings, which cost five passes a problem",
            expected="features.ratings: true",
            do="add --set features.ratings=true",
        )
    names = set(stages_through("verdicts", config))
    for table in requires & set(STAGES):
        names |= set(stages_through(table, config))
    return _ordered(names)


def dependent_stages(stage: str) -> tuple[str, ...]:
    """Return a stage and all that read its table, directly or through others.

    Example:
        >>> dependent_stages("verdicts")
        ('verdicts', 'gradients')
    """
    found = {stage}
    for name, other in STAGES.items():
        if found & set(other.reads):
            found.add(name)
    return _ordered(found)


def stage_options(config: Config, stages: Iterable[str]) -> dict[str, dict[str, object]]:
    """Collect the options that tables depend on, those of the tables they read included.

    Options that change the time a stage takes but not its result (token budgets, worker counts)
    are left out. Each data file is hashed once.

    Returns:
        For each of ``stages``, its options by dotted name.
    """
    chains = {name: stages_through(name, config) for name in stages}
    own = {name: STAGES[name].options(config) for name in _ordered(set().union(*chains.values()))}
    return {
        last: {key: value for name in chain for key, value in own[name].items()}
        for last, chain in chains.items()
    }


def _ordered(names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in STAGES if name in names)
