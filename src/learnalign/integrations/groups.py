"""What all trainers need: prompts as texts, groups of rewards as outcomes, states in files."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from learnalign.curriculum.base import Curriculum, Floats, Indices
from learnalign.errors import LearnAlignError

#: Trainers add rewards in float32; differences below this are rounding.
_ROUNDING = 1e-6


def prompt_texts(prompts: Iterable[Any]) -> list[str]:
    r"""Return the texts of prompts, for `learnalign.curriculum.text_features`.

    Args:
        prompts: Strings, or conversations: lists of messages with ``content``, which is a string,
            None, or a list of parts of which those with ``text`` count.

    Raises:
        LearnAlignError: for anything else.

    Example:
        >>> prompt_texts(["2 + 2 =", [{"role": "system", "content": "Add."}, {"content": "1 + 3"}]])
        ['2 + 2 =', 'Add.\n1 + 3']
    """
    return [
        prompt if isinstance(prompt, str) else "\n".join(map(_content, _messages(prompt)))
        for prompt in prompts
    ]


def _messages(prompt: Any) -> list[Any]:
    if isinstance(prompt, list | tuple | np.ndarray):
        messages = list(prompt)
        if all(isinstance(message, dict) and "content" in message for message in messages):
            return messages
    raise LearnAlignError(
        f"got the prompt {prompt!r:.80}",
        expected="a string, or a list of messages with content",
        do="pass the texts of the prompts to `text_features` yourself",
    )


def _content(message: dict[str, Any]) -> str:
    content = message["content"]
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.get("text") or "" for part in content if isinstance(part, dict))


def require_no_drops(curriculum: Curriculum, trainer: str) -> None:
    """Refuse a curriculum that drops groups, where ``trainer`` cannot refill its batches.

    Raises:
        LearnAlignError: if it drops groups.
    """
    if curriculum.drops:
        raise LearnAlignError(
            f"got the curriculum {curriculum.name!r}, which drops groups without a signal",
            expected=f"one that trains on all it samples: {trainer} cannot refill a batch",
            do="use learnalign with refill=False, mopps, mapp or order; `learnalign train` refills",
        )


def require_rows(curriculum: Curriculum, rows: int, batch: int, *, data: str, lower: str) -> None:
    """Refuse a curriculum of another pool, and a batch that is larger than the pool.

    Args:
        curriculum: The curriculum.
        rows: Number of rows that the trainer has.
        batch: Number of prompts that the trainer samples at once.
        data: What the trainer calls its rows.
        lower: What the trainer calls the size of a batch.

    Raises:
        LearnAlignError: if one of them does not fit.
    """
    if rows != curriculum.num_problems:
        raise LearnAlignError(
            f"got a curriculum of {curriculum.num_problems} problems",
            expected=f"{rows}, one for each row of {data}",
            do=f"make it with num_problems={rows}",
        )
    if batch > rows:
        raise LearnAlignError(
            f"got {rows} rows for batches of {batch} prompts",
            expected="at least as many rows, because no prompt appears twice in a batch",
            do=f"lower {lower}",
        )


def choose(curriculum: Curriculum, count: int, *, refill: bool = False) -> Indices:
    """Choose exactly ``count`` problems.

    Where the step has no more of them, the next step's follow; then a problem may appear twice.

    Args:
        curriculum: Chooses.
        count: Number of problems.
        refill: Whether they belong to the step that has begun.

    Returns:
        (count,) indices.

    Example:
        >>> from learnalign.curriculum.order import Order
        >>> choose(Order(3, shuffled=False), 5).tolist()
        [0, 1, 2, 0, 1]
    """
    chosen = curriculum.next_batch(count, refill=refill)
    while len(chosen) < count:
        chosen = np.concatenate([chosen, curriculum.next_batch(count - len(chosen))])
    return chosen


def require_success_rates(curriculum: Curriculum, rewards: Floats) -> None:
    """Refuse rewards outside [0, 1] where the curriculum estimates success rates from them.

    Args:
        curriculum: The curriculum.
        rewards: Rewards of any shape; NaN for none.

    Raises:
        LearnAlignError: if a reward is outside.
    """
    outside = rewards[(rewards < -_ROUNDING) | (rewards > 1 + _ROUNDING)]
    if len(outside) and curriculum.estimates() is not None:
        raise LearnAlignError(
            f"the curriculum {curriculum.name} got a reward of {outside[0]:g}",
            expected="rewards from 0 to 1, from which it estimates success rates",
            do="scale the rewards, or use the curriculum order",
        )


def observe_groups(
    curriculum: Curriculum, problems: ArrayLike, rewards: Sequence[Sequence[float | None] | Floats]
) -> dict[str, float]:
    """Let a curriculum observe the rewards of groups.

    Args:
        curriculum: Observes.
        problems: (k,) indices; a problem that appears twice is observed twice.
        rewards: k groups of any size; NaN or None where a rollout has no reward.

    Returns:
        The curriculum's metrics, as ``curriculum/NAME``.

    Raises:
        LearnAlignError: if the curriculum needs rewards from 0 to 1 and gets others.

    Example:
        >>> from learnalign.curriculum.order import Order
        >>> metrics = observe_groups(Order(4), [2, 0], [[1.0, 0.0], [1.0, None, 1.0]])
        >>> metrics["curriculum/groups_with_signal"]
        0.5
    """
    groups = [np.asarray(group, dtype=np.float64) for group in rewards]
    groups = [group[~np.isnan(group)] for group in groups]
    for group in groups:
        require_success_rates(curriculum, group)
    indices = np.asarray(problems)
    successes = np.array([group.clip(0.0, 1.0).sum() for group in groups])
    counts = np.array([len(group) for group in groups])
    differ = np.array([len(group) > 0 and np.ptp(group) > _ROUNDING for group in groups])
    for places in _visits(indices):
        curriculum.observe(
            indices[places], successes[places], counts[places], has_signal=differ[places]
        )
    return {f"curriculum/{name}": value for name, value in curriculum.metrics().items()}


def _visits(indices: Indices) -> list[list[int]]:
    """Return the places of all first visits, of all second ones, and so on."""
    visits: dict[int, list[int]] = defaultdict(list)
    seen: dict[int, int] = defaultdict(int)
    for place, problem in enumerate(indices.tolist()):
        visits[seen[problem]].append(place)
        seen[problem] += 1
    return list(visits.values())


def write_state(curriculum: Curriculum, path: Path) -> None:
    """Write a curriculum's state into a checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(curriculum.state_dict()))


def read_state(curriculum: Curriculum, path: Path) -> None:
    """Restore a curriculum from a checkpoint.

    Raises:
        LearnAlignError: if the checkpoint has no state, or another curriculum's.
    """
    restore(curriculum, json.loads(path.read_text()) if path.is_file() else None, path)


def restore(curriculum: Curriculum, state: dict[str, Any] | None, source: object) -> None:
    """Restore a curriculum from its state, if there is one.

    Raises:
        LearnAlignError: if there is none, or another curriculum's; ``source`` says where.
    """
    if state is None:
        raise LearnAlignError(
            f"got a checkpoint without the state of a curriculum: {source}",
            expected="one of a training with a curriculum",
            do="resume from such a checkpoint, or start a new training",
        )
    curriculum.load_state_dict(state)
