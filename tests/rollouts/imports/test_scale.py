"""Rewards of another scale than 0 to 1 are mapped if the scale is stated, and errors if not."""

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.rollouts.imports.reading import read_records

TRACES = Path(__file__).with_name("verifiers_traces.jsonl")


def _file(folder: Path, rewards: list[Any], **columns: Any) -> Path:
    path = folder / "dump.jsonl"
    rows = [{"id": "a", "completion": f"{n}", "reward": r} for n, r in enumerate(rewards)]
    path.write_text("\n".join(json.dumps(row | columns) for row in rows))
    return path


def _rewards(path: Path, **options: Any) -> list[float | None]:
    return [record.reward for file in read_records([path], **options)[0] for record in file]


@pytest.mark.parametrize(
    ("rewards", "words", "scale", "mapped"),
    [
        ([1, -1], r"line 2: the reward is -1; .* from -1 to 1.*=\[-1,1\]", (-1, 1), [1.0, 0.0]),
        ([0, 10, 5], r"line 2: the reward is 10.*=\[0,10\]", (0, 10), [0.0, 1.0, 0.5]),
        ([0, "1.1", None], r"line 2: the reward is 1.1.*bonus", (0, 1.1), [0.0, 1.0, None]),
        ([0.5, [-0.5]], r"line 2: the reward is -0.5", (-0.5, 1.5), [0.5, 0.0]),
    ],
)
def test_rewards_outside_of_0_to_1(
    tmp_path: Path, rewards: list[Any], words: str, scale: tuple[float, float], mapped: list[Any]
) -> None:
    path = _file(tmp_path, rewards)
    with pytest.raises(LearnAlignError, match=rf"(?s)dump.jsonl, {words}"):
        _rewards(path)
    assert _rewards(path, scale=scale) == mapped
    assert _rewards(path, reward_column=False) == [None] * len(rewards)


def test_a_reward_outside_of_the_stated_scale(tmp_path: Path) -> None:
    path = _file(tmp_path, [1, -2])
    with pytest.raises(LearnAlignError, match=r"(?s)line 2: the reward is -2.*from -1 \(wrong\)"):
        _rewards(path, scale=(-1, 1))


def test_sums_that_were_rounded_are_on_the_scale(tmp_path: Path) -> None:
    assert _rewards(_file(tmp_path, [0.1 + 0.2 + 0.7 + 1e-12, -1e-12])) == [1.0, 0.0]


def test_a_stated_scale_is_the_formats_too(tmp_path: Path) -> None:
    """open-instruct's rewards are not divided by 10 a second time; counts have no scale."""
    path = tmp_path / "dump.jsonl"
    row = {"prompt_tokens": [1], "response_tokens": [2], "step": 1}
    path.write_text("\n".join(json.dumps(row | {"reward": r}) for r in (0.0, 20.0, 10.0)))
    assert _rewards(path, scale=(0, 20)) == [0.0, 1.0, 0.5]
    path.write_text(json.dumps({"problem_id": "a", "num_correct": 1, "num_rollouts": 2}))
    assert _rewards(path, scale=(-1, 1)) == [1.0, 0.0]


def test_a_reward_of_several_is_chosen_by_its_name() -> None:
    """In the file that the real verifiers wrote, the form has the weight 0."""
    assert _rewards(TRACES, reward_column="rewards.form") == [1.0, 1.0]
    assert _rewards(TRACES, reward_column="rewards.exact") == _rewards(TRACES)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (1.0, -1.0), (0.0, float("inf"))])
def test_what_is_no_scale(scale: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="the lowest reward, then the highest"):
        RolloutConfig(recorded_scale=scale)
