"""What trainers' rewards become, by definition."""

import numpy as np
import pytest

from learnalign.curriculum.registry import curriculum_named
from learnalign.errors import LearnAlignError
from learnalign.integrations.groups import (
    choose,
    observe_groups,
    prompt_texts,
    read_state,
    write_state,
)


def test_groups_of_any_size_are_counted():
    ours, by_hand = (curriculum_named("mapp", 6) for _ in range(2))
    rewards = [[1.0, None, 0.0, 1.0], [float("nan")], [1.0, 1.0], [0.25, 0.5]]
    metrics = observe_groups(ours, [3, 0, 5, 1], rewards)
    by_hand.observe(
        [3, 0, 5, 1], [2.0, 0.0, 2.0, 0.75], [3, 0, 2, 2], has_signal=[True, False, False, True]
    )
    assert ours.state_dict() == by_hand.state_dict()
    assert metrics["curriculum/groups_with_signal"] == 0.5


def test_a_problem_that_appears_twice_is_observed_twice():
    ours, by_hand = (curriculum_named("learnalign", 4) for _ in range(2))
    observe_groups(ours, [2, 0, 2], [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    by_hand.observe([2, 0], [1, 0], 2)
    by_hand.observe([2], [2], 2)
    assert ours.state_dict() == by_hand.state_dict()
    assert ours.times_observed.tolist() == [1, 0, 2, 0]


def test_rounding_is_no_signal_and_no_error():
    curriculum = curriculum_named("mapp", 2)
    thirds = np.float32([0.1, 0.2, 0.7]).cumsum()[-1] + np.float32([0, 1e-7, 2e-7])
    metrics = observe_groups(curriculum, [0], [thirds])
    assert metrics["curriculum/groups_with_signal"] == 0.0
    with pytest.raises(LearnAlignError, match=r"a reward of 1\.01"):
        observe_groups(curriculum, [0], [[1.01]])


def test_more_than_the_pool_begins_the_next_step():
    chosen = choose(curriculum_named("order", 5, seed=1), 12)
    assert [sorted(chosen[:5]), sorted(chosen[5:10])] == [[*range(5)]] * 2
    assert len(set(chosen[10:].tolist())) == 2


def test_a_refill_excludes_what_the_step_has():
    curriculum = curriculum_named("mapp", 9, seed=1)
    parts = [choose(curriculum, 3), *(choose(curriculum, 3, refill=True) for _ in range(2))]
    assert sorted(np.concatenate(parts).tolist()) == [*range(9)]


def test_a_state_in_a_file_has_the_same_future(tmp_path):
    first, second = (curriculum_named("learnalign", 20, seed=4) for _ in range(2))
    observe_groups(first, choose(first, 6), [[1.0, 0.0]] * 6)
    write_state(first, tmp_path / "folder" / "state.json")
    read_state(second, tmp_path / "folder" / "state.json")
    assert [choose(first, 5).tolist() for _ in range(3)] == [
        choose(second, 5).tolist() for _ in range(3)
    ]
    with pytest.raises(LearnAlignError, match="without the state"):
        read_state(first, tmp_path / "none.json")


def test_conversations_are_texts():
    part = [{"type": "image"}, {"type": "text", "text": "What is it?"}, {"type": "text"}]
    chat = [{"role": "system", "content": None}, {"role": "user", "content": part}]
    assert prompt_texts(["plain", [{"content": "one"}, {"content": "two"}], tuple(chat)]) == [
        "plain", "one\ntwo", "\n\nWhat is it?\n",
    ]  # fmt: skip
    for prompt in (None, 5, {"content": "a"}, ["a"], [{"role": "user"}]):
        with pytest.raises(LearnAlignError, match="got the prompt"):
            prompt_texts([prompt])


def test_indices_are_not_truncated():
    curriculum = curriculum_named("mapp", 4)
    with pytest.raises(LearnAlignError, match="whole numbers"):
        observe_groups(curriculum, [0.0, 1.7], [[1.0, 0.0], [1.0, 0.0]])
    assert observe_groups(curriculum, [], [])["curriculum/groups"] == 0.0
