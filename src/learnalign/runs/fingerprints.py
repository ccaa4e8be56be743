"""Fingerprints of options, and the differences between two sets of options."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def fingerprint(options: Mapping[str, Any]) -> str:
    """Hash options, independent of their order.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    text = json.dumps(options, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the options that differ.

    Example:
        >>> differences({"rollouts.temperature": 1.0}, {"rollouts.temperature": 0.7})
        ['rollouts.temperature was 1.0, is now 0.7']
    """
    keys = sorted(set(old) | set(new))
    return [
        f"{key} was {old.get(key)!r}, is now {new.get(key)!r}"
        for key in keys
        if json.dumps(old.get(key), default=str) != json.dumps(new.get(key), default=str)
    ]
