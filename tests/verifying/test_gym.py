"""reasoning-gym: a generator's own answers are right, after JSON, or the generator is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from learnalign.errors import LearnAlignError
from learnalign.problems.gym import gym_rows
from learnalign.verifying.processes import WorkerProcess

pytest.importorskip("reasoning_gym")
#: They give no answer of their own, or cannot be made without options.
REFUSED = {"boxnet", "rush_hour", "composite"}
#: Tuples that became lists; answers among the metadata; answers of many lines, JSON, signs.
QUICK = ("rearc", "graph_color", "propositional_logic", "rubiks_cube", "chain_sum", "countdown")


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    made = WorkerProcess(60.0, 4096)
    yield made
    made.close()


def names() -> list[str]:
    from reasoning_gym.factory import DATASETS

    return sorted(DATASETS)


def rewards(worker: WorkerProcess, row: dict[str, Any], *completions: str) -> list[float | None]:
    """Rewards of completions, the row read again from JSON as a run does it."""
    asked = {"kind": "reasoning_gym", "golds": [row["answer"]], "row": json.loads(json.dumps(row))}
    asked |= {"prompt": "", "messages": [], "completions": list(completions)}
    found = worker.judge(asked | {"completion_ids": [[]] * len(completions)})
    return [judgement.reward for judgement in found]


def not_right(worker: WorkerProcess, name: str, size: int) -> list[Any]:
    """A generator's problems that reject their own answer."""
    found = []
    for row in gym_rows(f"reasoning-gym:{name}?size={size}&seed=11"):
        problem = {"golds": [row["answer"]], "row": json.loads(json.dumps(row))}
        checked = worker.check("reasoning_gym", [problem])[0]
        reward = rewards(worker, row, row["answer"])[0]
        if (checked.verdict, reward) != ("correct", 1.0):
            found.append((name, checked, reward))
    return found


@pytest.mark.parametrize("name", QUICK)
def test_answers_of_their_own(worker: WorkerProcess, name: str) -> None:
    assert not not_right(worker, name, 2)
    row = gym_rows(f"reasoning-gym:{name}?size=1&seed=3")[0]
    (wrong,) = rewards(worker, row, "I do not know at all")
    assert wrong is not None
    assert wrong < 1.0


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_generators_that_are_refused_by_name(name: str) -> None:
    with pytest.raises(LearnAlignError, match=name):
        gym_rows(f"reasoning-gym:{name}?size=1")


@pytest.mark.slow
def test_answers_of_every_generator(worker: WorkerProcess) -> None:
    known = names()
    assert len(known) > 100
    assert not [one for name in known if name not in REFUSED for one in not_right(worker, name, 3)]


def test_a_scorer_that_raises_is_no_verdict_of_wrong(worker: WorkerProcess) -> None:
    row = {"answer": "4", "metadata": {"source_dataset": "no_such_generator"}}
    assert rewards(worker, row, "4", "5") == [None, None]
