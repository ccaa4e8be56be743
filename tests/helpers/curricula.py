"""Curricula for trainers that train on all they sample."""

from typing import Any

from learnalign.curriculum.base import Curriculum
from learnalign.curriculum.registry import curriculum_named, option_names


def keeping(name: str, num_problems: int, **options: Any) -> Curriculum:
    """Make a curriculum that drops no group, where it can be told so."""
    if "refill" in option_names(name):
        options["refill"] = False
    return curriculum_named(name, num_problems, **options)
