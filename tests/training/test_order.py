"""Steps are cut from whole passes: nothing is lost, nothing stands in a step twice."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learnalign.training.order import step_problems


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 3), st.booleans(), st.integers(0, 5))
def test_every_pass_is_whole(count, per_step, epochs, shuffled, seed):
    found = step_problems(count, per_step, epochs=epochs, shuffled=shuffled, seed=seed)
    size = min(count, per_step)
    assert found.shape == (-(-epochs * count // size), size)
    assert all(len(set(step)) == size for step in found.tolist())
    seen = Counter(found.flatten().tolist())
    assert min(seen[i] for i in range(count)) >= epochs
    # What is beyond whole passes is less than a step.
    assert sum(seen.values()) - epochs * count < size
    assert max(seen.values()) <= epochs + 1


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 40))
def test_steps_do_not_depend_on_how_many_follow(count, per_step, steps):
    whole = step_problems(count, per_step, steps=steps + 7, seed=3)
    np.testing.assert_array_equal(
        whole[:steps], step_problems(count, per_step, steps=steps, seed=3)
    )


def test_passes_differ_and_the_files_order_stays():
    shuffled = step_problems(50, 10, epochs=2, seed=1)
    assert shuffled[:5].flatten().tolist() != shuffled[5:].flatten().tolist()
    assert step_problems(6, 3, epochs=2, shuffled=False).tolist() == [[0, 1, 2], [3, 4, 5]] * 2
