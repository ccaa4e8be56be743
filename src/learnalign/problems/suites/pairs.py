r"""Inputs and outputs: APPS, TACO, CodeContests, PRIME, and rows of verl made from them.

    {"inputs": ["1 2\n"], "outputs": ["3\n"]}                               stdin and stdout
    {"inputs": [[1, 2]], "outputs": [3], "fn_name": "add"}                  calls

With ``fn_name``, an input is a list of arguments, or text with one JSON value a line. An output may
be wrapped in a list of one.
"""

import json
from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.suite import (
    CallTest,
    InputTest,
    Suite,
    Test,
    UnreadableTestsError,
    content,
    text_of,
)

NAME = "inputs and outputs"
DATA_SETS = "APPS, TACO, CodeContests, PRIME, verl"
_KEYS = (("inputs", "outputs"), ("input", "output"))


def recognises(tests: Any) -> bool:
    """Return whether a value holds lists of inputs and outputs."""
    return _keys(tests) is not None


def read(tests: Mapping[str, Any]) -> Suite:
    r"""Read the tests.

    Raises:
        UnreadableTestsError: if there are none, or inputs and outputs differ in number.

    Example:
        >>> read({"inputs": ["1\n"], "outputs": ["2\n"]}).tests
        (InputTest(input='1\n', output='2\n'),)
        >>> read({"inputs": ["[1]\n2"], "outputs": [[3]], "fn_name": "f"}).tests
        (CallTest(arguments=([1], 2), expected=([3], 3), absolute=0.0, rule='value'),)
    """
    keys = _keys(tests)
    assert keys is not None
    inputs, outputs = (content(tests[key]) for key in keys)
    if not inputs or len(inputs) != len(outputs):
        raise UnreadableTestsError(f"{len(inputs)} inputs and {len(outputs)} outputs")
    name = tests.get("fn_name") or None
    return Suite(NAME, tuple(map(test_of(name), inputs, outputs)), entry_point=name)


def test_of(name: str | None) -> Any:
    """Return the function that makes a test of an input and an output."""
    return called if name else printed


def printed(given: Any, output: Any) -> Test:
    """Return the test of a program that reads and prints."""
    return InputTest(text_of(given), text_of(output))


def called(given: Any, output: Any) -> Test:
    """Return the test of a call: the output itself or, in a list of one, its item is right."""
    return CallTest(_arguments(given), _alternatives(_value(output)))


def _keys(tests: Any) -> tuple[str, str] | None:
    if not isinstance(tests, Mapping):
        return None
    for keys in _KEYS:
        if all(isinstance(content(tests.get(key)), list) for key in keys):
            return keys
    return None


def _arguments(given: Any) -> tuple[Any, ...]:
    if isinstance(given, str):
        return tuple(_value(line) for line in given.split("\n") if line.strip())
    return tuple(given) if isinstance(given, list) else (given,)


def _value(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _alternatives(value: Any) -> tuple[Any, ...]:
    return (value, value[0]) if isinstance(value, list) and len(value) == 1 else (value,)
