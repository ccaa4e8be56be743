"""A curriculum learns from the steps of an earlier training before the first step of its own."""

import math

import pyarrow as pa

from learnalign.config import Config
from learnalign.curriculum.base import Curriculum
from learnalign.errors import LearnAlignError
from learnalign.pipeline.success_histories import read_history
from learnalign.rollouts.imports.joining import Join
from learnalign.terminal.progress import Progress

#: Curricula that remember nothing of a problem's outcomes.
_FORGETFUL = ("order", "dynamic")


def learn_history(
    curriculum: Curriculum, config: Config, problems: pa.Table, progress: Progress
) -> tuple[str, ...]:
    """Show a curriculum the steps of ``training.history``, the oldest first.

    It forgets them as it forgets steps of its own: what an early step saw counts less than what the
    last one saw.

    Args:
        curriculum: A new curriculum of these problems.
        config: The options; without ``training.history`` nothing happens.
        problems: PROBLEMS, in the curriculum's order.
        progress: Shows the reading of a trainer's rollouts.

    Returns:
        Warnings about the history.

    Raises:
        LearnAlignError: if the curriculum learns from no outcomes, or the history has none of these
            problems.
    """
    path = config.training.history
    if path is None:
        return ()
    if curriculum.name in _FORGETFUL:
        raise LearnAlignError(
            f"got --history {path} with --curriculum {curriculum.name}",
            expected="mopps, mapp, greso or learnalign, which learn from outcomes",
            do="choose one of them, or leave the option out",
        )

    def join() -> Join:
        from learnalign.models.loading import load_tokenizer

        return Join([problems], load_tokenizer(config.model))

    history = read_history(
        path,
        join,
        reward_column=config.rollouts.recorded_reward,
        scale=config.rollouts.recorded_scale,
        progress=progress,
    )
    ids = problems["problem_id"].to_pylist()
    history.rates(ids)  # an error if it has none of them
    for step in history.steps(ids):
        known = [(index, one) for index, one in step if not math.isnan(one.success_rate)]
        sizes = [one.num_rollouts or config.training.known_rollouts for _, one in known]
        rates = [one.success_rate for _, one in known]
        curriculum.observe(
            [index for index, _ in known],
            [rate * size for rate, size in zip(rates, sizes, strict=True)],
            sizes,
        )
        curriculum.next_batch(0)  # the step ends
    return history.warnings
