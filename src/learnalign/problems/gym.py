"""Problems that reasoning-gym generates: seeded, checkable, without a network."""

import json
from typing import Any
from urllib.parse import parse_qsl

import yaml

from learnalign.errors import LearnAlignError, nearest

_PREFIX = "reasoning-gym:"
#: Where generators of problems with many right answers keep one of them.
_EXAMPLES = ("example_answer", "example_correct_answer", "possible_answer")
_OWN_KEYS = {"dataset", "size", "seed", "source", "difficulty", "params"}


def is_gym_spec(text: str) -> bool:
    """Whether a DATA argument asks for generated problems."""
    return text.startswith(_PREFIX)


def gym_rows(spec: str) -> list[dict[str, Any]]:
    """Generate the problems of a spec such as ``reasoning-gym:gcd?size=50&seed=1&max_value=99``.

    Raises:
        LearnAlignError: for an unknown generator or option.

    Example:
        >>> gym_rows("reasoning-gym:gcd?size=1&seed=3&max_value=9")[0]["source"]
        'gcd'
        >>> gym_rows("reasoning-gym:gdc")
        Traceback (most recent call last):
        learnalign.errors.LearnAlignError: got the reasoning-gym generator 'gdc'
          expected: a name it knows: the nearest is 'gcd'
          to do: correct the name
    """
    name, _, query = spec.removeprefix(_PREFIX).partition("?")
    options = {key: yaml.safe_load(value) for key, value in parse_qsl(query)}
    return _generate(name, options.pop("size", 100), options.pop("seed", 0), options)


def pool_rows(tree: object, place: str) -> list[dict[str, Any]]:
    """Generate the problems of a pool file: a YAML list of generators with their options.

    Each entry has ``dataset`` and ``size``, and may have ``seed``, ``params`` (the generator's
    options), ``source`` and ``difficulty`` (names for the report).

    Example:
        >>> rows = pool_rows([{"dataset": "gcd", "size": 2, "difficulty": "easy"}], "pool.yaml")
        >>> [row["difficulty"] for row in rows]
        ['easy', 'easy']
    """
    if not isinstance(tree, list) or not all(isinstance(e, dict) and "dataset" in e for e in tree):
        raise LearnAlignError(
            f"{place} is no pool of reasoning-gym problems",
            expected="a list of entries such as {dataset: gcd, size: 50, seed: 1}",
            do="see examples/pool.yaml",
        )
    rows = []
    for number, entry in enumerate(tree, 1):
        unknown = sorted(set(entry) - _OWN_KEYS)
        if unknown:
            raise LearnAlignError(
                f"{place}, entry {number}: got the unknown key '{unknown[0]}'",
                expected=nearest(unknown[0], _OWN_KEYS),
                do="put a generator's own options below params:",
            )
        made = _generate(
            entry["dataset"], entry.get("size", 100), entry.get("seed", 0), entry.get("params", {})
        )
        labels = {key: str(entry[key]) for key in ("source", "difficulty") if key in entry}
        rows += [row | labels for row in made]
    return rows


def _generate(name: str, size: int, seed: int, options: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise LearnAlignError(
            "generated problems need the package reasoning-gym",
            do="pip install 'learnalign[gym]'",
        ) from error
    if name not in DATASETS:
        raise LearnAlignError(
            f"got the reasoning-gym generator '{name}'",
            expected=f"a name it knows: {nearest(name, DATASETS)}",
            do="correct the name",
        )
    try:
        entries = list(reasoning_gym.create_dataset(name, size=size, seed=seed, **options))
    except (TypeError, AssertionError, ValueError) as error:
        raise LearnAlignError(
            f"reasoning-gym's {name} refuses {options}: {error}",
            expected="options of its configuration class",
            do="correct them",
        ) from error
    return [
        {"question": entry["question"], "answer": _answer(name, entry)}
        | {"metadata": entry["metadata"], "source": name}
        for entry in entries
    ]


def _answer(name: str, entry: dict[str, Any]) -> str:
    """Give an entry's answer, or one of those that its generator would accept.

    Raises:
        LearnAlignError: if the generator knows none: nobody could see that a problem is solvable.
    """
    if entry["answer"] is not None:
        return str(entry["answer"])
    found = next((entry["metadata"][key] for key in _EXAMPLES if key in entry["metadata"]), None)
    if found is None:
        raise LearnAlignError(
            f"reasoning-gym's {name} gives no answer to its own problems",
            expected="a generator whose answers can be held against its scorer",
            do="leave it out",
        )
    return found if isinstance(found, str) else json.dumps(found)
