"""The curriculum of a training: its options, a selection's counts as its prior, its sketches."""

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from learnalign.config import Config, TrainingConfig
from learnalign.curriculum.base import Curriculum
from learnalign.curriculum.checks import require_switch
from learnalign.curriculum.registry import curriculum_named, option_names
from learnalign.curriculum.text_features import text_features
from learnalign.errors import LearnAlignError, nearest
from learnalign.pipeline.stages import reward_stats
from learnalign.problems.nested import value
from learnalign.runs.folder import RunFolder
from learnalign.workflows.training_problems import training_source

if TYPE_CHECKING:
    from learnalign.gradients.group_sketches import GroupSketcher

#: Options of curricula that are no options of a training, and what to use in their place.
_SET_BY_TRAINING = {
    "name": "use --curriculum",
    "num_problems": "use training.num_problems to train on fewer",
    "num_rollouts": "use --num-rollouts",
    "seed": "use --seed",
    "features": "use training.curriculum_options.text=false for none",
    "counts": "use --known-success COLUMN, or train on a finished selection",
}


def open_curriculum(config: Config, problems: pa.Table) -> Curriculum:
    """Create the curriculum of ``training.curriculum`` with its options.

    ``learnalign`` begins with the success counts of the selection that the problems come from, and
    shares what it observes by the prompts' words, unless ``text`` is false in its options.

    Raises:
        LearnAlignError: for an option that its class does not have, one that the training sets, or
            known success rates that are missing or outside [0, 1].
    """
    training = config.training
    own = _own_options(training)
    known = option_names(training.curriculum)
    options: dict[str, Any] = {}
    if "shuffled" in known:
        options["shuffled"] = training.shuffled
    if "num_rollouts" in known:
        options["num_rollouts"] = config.rollouts.num_rollouts
    source = training_source(config)
    if training.known_success is not None:
        options["counts"] = _known_counts(problems["row"], training)
        if "counts_weight" in known:
            options["counts_weight"] = 1.0  # training.known_rollouts is the weight
    elif training.curriculum == "learnalign" and source is not None:
        options["counts"] = _success_counts(source, problems["problem_id"].to_pylist())
    shares_by_text = own.pop("text", training.curriculum == "learnalign")
    options |= own
    if shares_by_text:
        options["features"] = text_features(
            problems["prompt"].to_pylist(), sources=problems["source"].to_pylist()
        )
    name, count = training.curriculum, problems.num_rows
    return curriculum_named(name, count, seed=config.run.seed, **options)


def _own_options(training: TrainingConfig) -> dict[str, Any]:
    """Return a copy of ``training.curriculum_options``.

    Raises:
        LearnAlignError: for one that the curriculum does not have or the training sets.
    """
    name, options = training.curriculum, dict(training.curriculum_options)
    known = option_names(name) - set(_SET_BY_TRAINING)
    if name == "learnalign":
        known.add("text")
    for option, found in options.items():
        if option in _SET_BY_TRAINING:
            raise LearnAlignError(
                f"got training.curriculum_options.{option}",
                expected=f"another option: the training sets {option} itself",
                do=_SET_BY_TRAINING[option],
            )
        if option not in known:
            raise LearnAlignError(
                f"got the option {option!r} of the curriculum {name!r}",
                expected=nearest(option, known),
                do="remove it, or choose another curriculum",
            )
        if option in ("text", "gradients"):
            options[option] = require_switch(f"training.curriculum_options.{option}", found)
    return options


def open_sketcher(curriculum: Curriculum, model: Any, seed: int) -> "GroupSketcher | None":
    """Create what sketches the gradients of each step; None if the curriculum does not use them.

    Raises:
        LearnAlignError: if the model has no layers to sketch.
    """
    if not curriculum.uses_gradients:
        return None
    from learnalign.gradients.group_sketches import GroupSketcher, spread_layers

    return GroupSketcher(spread_layers(model), seed=seed)


def _known_counts(rows: pa.ChunkedArray, training: TrainingConfig) -> list[tuple[float, float]]:
    """Return successes and failures by the users' column of success rates; zeros where it is empty.

    Raises:
        LearnAlignError: if no row has the column, or a value is not a rate.
    """
    name, size = training.known_success, float(training.known_rollouts)
    if "counts" not in option_names(training.curriculum):
        raise LearnAlignError(
            f"got --known-success {name} with --curriculum {training.curriculum}",
            expected="mopps, mapp or learnalign, which estimate success rates",
            do="choose one of them, or leave the option out",
        )
    values = [value(json.loads(row), name) for row in rows.to_pylist()]
    if all(rate is None for rate in values):
        raise LearnAlignError(
            f"got --known-success {name}, which is empty in all rows",
            expected="a column of success rates from 0 to 1",
            do="correct the name; use dots for nested columns",
        )
    counts = []
    for rate in values:
        if rate is None:
            counts.append((0.0, 0.0))
        elif isinstance(rate, int | float) and 0 <= rate <= 1:
            counts.append((rate * size, (1 - rate) * size))
        else:
            raise LearnAlignError(
                f"got {rate!r} in the column {name!r}",
                expected="a success rate from 0 to 1, or null",
                do="divide successes by rollouts, and percentages by 100",
            )
    return counts


def _success_counts(source: RunFolder, problem_ids: list[str]) -> list[tuple[float, float]]:
    """Return each problem's sums of rewards and of what is missing to 1 in a selection."""
    stats = reward_stats(source).select(["problem_id", "success_rate", "num_rollouts"])
    known = {row["problem_id"]: row for row in stats.to_pylist()}
    counts = []
    for name in problem_ids:
        row = known.get(name, {})
        rate, size = row.get("success_rate") or 0.0, row.get("num_rollouts") or 0
        right = min(max(rate, 0.0), 1.0) * size
        counts.append((right, size - right))
    return counts
