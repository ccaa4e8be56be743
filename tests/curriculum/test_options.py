"""What a curriculum may be made with, and which states it may be restored from."""

import json
import math

import numpy as np
import pytest

from learnalign.curriculum.registry import CURRICULA, curriculum_named
from learnalign.errors import LearnAlignError

NAMES = sorted(CURRICULA)


def test_a_state_of_another_training_is_an_error():
    state = curriculum_named("mapp", 5).state_dict()
    for other in (curriculum_named("mapp", 6), curriculum_named("mopps", 5)):
        with pytest.raises(LearnAlignError, match="state with"):
            other.load_state_dict(state)
    with pytest.raises(LearnAlignError, match="seed"):
        curriculum_named("mapp", 5, seed=1).load_state_dict(state)


#: Options of two trainings that differ in them.
OTHER_OPTIONS = [
    ("order", {"shuffled": False}),
    ("dynamic", {"shuffled": False}),
    ("mopps", {"candidates": 4}),
    ("mopps", {"target": 0.4}),
    ("mopps", {"discount": 0.5}),
    ("mapp", {"num_rollouts": 4}),
    ("mapp", {"discount": 0.5}),
    ("greso", {"shuffled": False}),
    ("greso", {"easy_from": 0.9}),
    ("greso", {"hard_to": 0.2}),
    ("greso", {"targets": (0.1, 0.2)}),
    ("greso", {"exploration": (0.4, 0.5)}),
]


@pytest.mark.parametrize(("name", "options"), OTHER_OPTIONS)
def test_a_state_of_other_options_is_an_error(name, options):
    first = curriculum_named(name, 5, **options)
    first.observe(first.next_batch(5), np.arange(5), 8)
    for _ in range(3):  # options are not what moves in a training
        first.observe(first.next_batch(5), np.arange(5), 8)
    state = json.loads(json.dumps(first.state_dict()))
    other = curriculum_named(name, 5)
    before = other.state_dict()
    with pytest.raises(LearnAlignError, match=f"state with {next(iter(options))} = "):
        other.load_state_dict(state)
    assert other.state_dict() == before
    same = curriculum_named(name, 5, **options)
    same.load_state_dict(state)
    assert same.state_dict() == state


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_lacks_something_is_an_error(name):
    state = json.loads(json.dumps(curriculum_named(name, 5).state_dict()))
    parts = [
        {key: value for key, value in state.items() if key != missing} for missing in state
    ] + [
        state | {part: {k: v for k, v in state[part].items() if k != missing}}
        for part in ("options", "method")
        for missing in state[part]
        if missing != "model"  # learnalign without features has none
    ]
    for part in [*parts, state | {"random": {}}, state | {"method": None}, [], None]:
        with pytest.raises(LearnAlignError, match="state that is not complete"):
            curriculum_named(name, 5).load_state_dict(part)


@pytest.mark.parametrize(
    ("name", "option", "values"),
    [
        ("mopps", "candidates", [0, -1, 2.5, "16", None, True]),
        ("mopps", "target", [-0.1, 1.1, math.nan, "half", None]),
        ("mopps", "discount", [0, 1.1, "1", None, math.nan, False]),
        ("mopps", "counts_weight", [-1, math.inf, "3"]),
        ("mopps", "counts", [[[1, 2]], "known", [[1, -1]] * 5, [[1, math.inf]] * 5, [[1], [1, 2]]]),
        ("mapp", "num_rollouts", [1, 0, 8.0, "8", None]),
        ("mapp", "discount", [0, -1, 2, "1"]),
        ("mapp", "counts", [[[1, 2, 3]] * 5, [["a", "b"]] * 5]),
        ("greso", "easy_from", ["0.9", 2, None]),
        ("greso", "hard_to", [-0.1, "0.1", 0.98, 0.99]),
        ("greso", "exploration", [0.5, (0.5,), (0.5, 1.5), (0.5, "a"), "ab", None]),
        ("greso", "targets", [0.1, (0.1, 0.2, 0.3), (-0.1, 0.2)]),
        *((name, "shuffled", [1, "no", None]) for name in ("order", "dynamic", "greso")),
        *((name, "seed", [-1, 0.5, "1", None]) for name in ("order", "mapp")),
    ],
)
def test_wrong_values_of_options_are_errors(name, option, values):
    for value in values:
        with pytest.raises(LearnAlignError, match=option):
            curriculum_named(name, 5, **{option: value})


@pytest.mark.parametrize("count", [0, -1, 2.0, "5", None])
def test_a_pool_has_problems(count):
    with pytest.raises(LearnAlignError, match="num_problems"):
        curriculum_named("order", count)


def test_numbers_of_numpy_are_options_too():
    options = {"candidates": np.int32(4), "target": np.float32(0.25), "discount": np.float64(1)}
    curriculum = curriculum_named("mopps", np.int64(5), seed=np.uint8(3), **options)
    state = json.loads(json.dumps(curriculum.state_dict()))
    options = {"candidates": 4, "target": 0.25, "discount": 1}
    curriculum_named("mopps", 5, seed=3, **options).load_state_dict(state)


@pytest.mark.parametrize("name", [["mopps"], None, {}])
def test_a_name_is_a_string(name):
    with pytest.raises(LearnAlignError, match="got the curriculum"):
        curriculum_named(name, 5)


def test_names_and_options():
    with pytest.raises(LearnAlignError, match="nearest is 'mopps'"):
        curriculum_named("mops", 5)
    with pytest.raises(LearnAlignError, match="nearest is 'discount'"):
        curriculum_named("mopps", 5, discont=0.5)
    for arguments in ((0, 0), (3, -1)):
        with pytest.raises(LearnAlignError):
            curriculum_named("order", arguments[0], seed=arguments[1])
