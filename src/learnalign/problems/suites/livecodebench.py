"""LiveCodeBench: ``public_test_cases`` and ``private_test_cases``, each a list of cases as text.

The private ones of the original are base64 text of a compressed *pickle*, which runs code when it
is read, and are refused; the same as JSON is read, compressed or not.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from learnalign.problems.suites import cases
from learnalign.problems.suites.suite import Suite, UnreadableTestsError, content

NAME = "LiveCodeBench"
DATA_SETS = "LiveCodeBench"
COLUMNS = ("public_test_cases", "private_test_cases", "metadata", "starter_code")
PROMPT = "question_content"
_MAX_BYTES = 512 * 2**20


def recognises(row: Mapping[str, Any]) -> bool:
    """Return whether a row has these columns."""
    return bool(row.get("public_test_cases")) and "private_test_cases" in row


def read(row: Mapping[str, Any]) -> Suite:
    """Read a row.

    Raises:
        UnreadableTestsError: for a pickle, or text that is no list of cases.
    """
    metadata = content(row.get("metadata"))
    name = metadata.get("func_name") if isinstance(metadata, Mapping) else None
    tests = [case for column in COLUMNS[:2] for case in _cases(row.get(column), column)]
    if not cases.recognises(tests):
        raise UnreadableTestsError("no cases with an input and an output")
    return replace(cases.read(tests, name), format=NAME)


def _cases(value: Any, column: str) -> list[Any]:
    value = content(value)
    if isinstance(value, str) and value.strip():
        value = json_of(value, column)
    return value if isinstance(value, list) else []


def json_of(text: str, column: str) -> Any:
    """Return JSON that was compressed and written as base64; never a pickle.

    Raises:
        UnreadableTestsError: for a pickle, and for other text.

    Example:
        >>> json_of(base64.b64encode(zlib.compress(b'[1]')).decode(), "tests")
        [1]
    """
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text, validate=True), _MAX_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise UnreadableTestsError(f"{column} is neither JSON nor compressed JSON") from error
    if data[:1] == b"\x80":
        raise UnreadableTestsError(
            f"{column} is a pickle, which runs code when it is read: write it as JSON"
        )
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableTestsError(f"{column} holds no JSON") from error
    return json.loads(found) if isinstance(found, str) else found
