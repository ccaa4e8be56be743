"""Recognising the tests of a code problem, in a row or in a column, and reading them.

The gold of a code problem is JSON text: the columns of its row that its format reads, or the
column of tests as it is. It contains all that a verifier needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from learnalign.problems.nested import empty, value
from learnalign.problems.suites import (
    asserts,
    cases,
    evalplus,
    functional,
    humaneval,
    kodcode,
    livecodebench,
    mbpp,
    pairs,
)
from learnalign.problems.suites.suite import (
    Suite,
    UnreadableTestsError,
    content,
    json_text,
    texts,
)

#: Formats that need several columns of a row, and formats of one column.
ROWS = (evalplus, livecodebench, kodcode, humaneval, mbpp)
COLUMNS = (asserts, pairs, cases, functional)
#: Columns that hold nothing but tests, the usual names first; and columns that may hold them.
_USUAL = ("input_output", "test_cases", "tests", "private_tests", "public_tests", "test_list")
_OTHERS = ("verifier_metadata.unit_tests", "unit_tests", "solution_tests", "test", "test_code")
_ONLY_TESTS = _USUAL + _OTHERS
_TESTS = (
    *_USUAL,
    *("verification_info", "reward_model.ground_truth", "reward_spec.ground_truth"),
    *("verifier_metadata", "ground_truth", "answer", "label"),
    *_OTHERS,
)
#: Columns of programs that are right.
_REFERENCES = ("solutions", "reference_solution", "canonical_solution", "solution", "code")
#: Keys of the gold of a column, if the row has a reference solution.
_COLUMN, _SOLUTIONS = "tests", "solutions"
_MAX_REFERENCES = 3
_BEGINNINGS = ("[", "{", '"', "eJ")


def gold_of(row: Mapping[str, Any], column: str | None = None) -> tuple[str, str] | None:
    """Return the gold of a code problem and its format's name; None for another row.

    Args:
        row: A row of a data set.
        column: The column to look at (with dots for nested ones); by default, all known ones.

    Example:
        >>> gold_of({"question": "Add.", "input_output": '{"inputs": ["1"], "outputs": ["2"]}'})
        ('{"inputs": ["1"], "outputs": ["2"]}', 'inputs and outputs')
        >>> gold_of({"question": "1+1?", "answer": "2"}) is None
        True
    """
    for form in ROWS:
        if column in (None, form.COLUMNS[0]) and form.recognises(row):
            return json_text({k: row[k] for k in form.COLUMNS if k in row}), form.NAME
    for name in _TESTS if column is None else (column,):
        tests = value(row, name)
        found = None if empty(tests) else _recognised(content(tests))
        if found is not None:
            solutions = [s for n in _REFERENCES if n != name for s in texts(row.get(n))]
            if solutions:
                gold = {_COLUMN: content(tests), _SOLUTIONS: solutions[:_MAX_REFERENCES]}
                return json_text(gold), found
            return tests if isinstance(tests, str) else json_text(tests), found
    return None


def tests_columns(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str | None] | None:
    """Return the column of tests of code problems, and the prompt's if its name is unusual.

    Args:
        rows: Rows of one source.

    Returns:
        None unless every row that is not blank has tests in the same column; most of them, if the
        column's name means tests.

    Example:
        >>> tests_columns([{"text": "Add.", "test_list": ["assert add(1, 2) == 3"]}])
        ('test_list', 'text')
    """
    for form in ROWS:
        if rows and all(form.recognises(row) for row in rows):
            return form.COLUMNS[0], form.PROMPT
    for name in _TESTS:
        filled = [
            tests for tests in (content(value(row, name)) for row in rows) if not empty(tests)
        ]
        known = sum(_recognised(tests) is not None for tests in filled)
        if filled and (known == len(filled) or (name in _ONLY_TESTS and 2 * known > len(filled))):
            return name, None
    return None


def holds_only_tests(rows: Sequence[Mapping[str, Any]], column: str | None) -> bool:
    """Return whether what a column holds is tests, or tests that cannot be read.

    Example:
        >>> rows = [{"tests": ["assert f(1)"]}, {"tests": ["assert f(2)"]}, {"tests": "f(3) is 4"}]
        >>> holds_only_tests(rows, "tests"), holds_only_tests([{"answer": "4"}], "answer")
        (True, False)
    """
    return column in _ONLY_TESTS and (tests_columns(rows) or (None,))[0] == column


def tests_gold(column: Any) -> str | None:
    """Return a column's value as the gold of a code problem; None if it holds no tests.

    Example:
        >>> tests_gold(["assert f(1) == 2"]), tests_gold("12"), tests_gold(["a", "b"])
        ('["assert f(1) == 2"]', None, None)
    """
    text = column if isinstance(column, str) else json_text(content(column))
    return text if is_tests(text) else None


def is_tests(gold: str) -> bool:
    """Return whether a gold is the tests of a code problem.

    Example:
        >>> is_tests('["assert f(1) == 2"]'), is_tests("[1, 2]"), is_tests("12")
        (True, False, False)
        >>> is_tests("assert f(1) == 2"), is_tests("I assert that it is 2.")
        (True, False)
    """
    begins = gold.lstrip().startswith(_BEGINNINGS) or "assert" in gold
    return begins and _found(gold) is not None


def are_tests_of(column: Any, gold: str) -> bool:
    """Return whether a column's value is the tests of a gold, whose reference solutions are extra.

    Example:
        >>> row = {"ground_truth": ["assert f(1) == 2"], "solution": "def f(x): return 2"}
        >>> gold, _ = gold_of(row, "ground_truth")
        >>> are_tests_of(row["ground_truth"], gold), are_tests_of(["assert f(1) == 3"], gold)
        (True, False)
    """
    tests = content(gold)
    if isinstance(tests, Mapping) and tests.keys() == {_COLUMN, _SOLUTIONS}:
        tests = content(tests[_COLUMN])
    return is_tests(gold) and content(column) in (tests, gold)


def read_suite(gold: str) -> Suite:
    """Read the tests of a gold.

    Raises:
        UnreadableTestsError: with the reason.

    Example:
        >>> suite = read_suite('{"inputs": ["1"], "outputs": ["2"]}')
        >>> suite.format, len(suite.tests)
        ('inputs and outputs', 1)
    """
    found = _found(gold)
    if found is None:
        raise UnreadableTestsError("not the tests of a code problem in a known format")
    form, tests, references = found
    try:
        suite: Suite = form.read(tests)
    except UnreadableTestsError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableTestsError(f"{form.NAME}: {type(error).__name__}: {error}") from error
    if not suite.tests:
        raise UnreadableTestsError("there is no test")
    return replace(suite, references=references) if references else suite


def _found(gold: str) -> tuple[Any, Any, tuple[str, ...]] | None:
    """Return a gold's format, tests and reference solutions."""
    tests = content(gold)
    references: tuple[str, ...] = ()
    if isinstance(tests, Mapping):
        for form in ROWS:
            if form.recognises(tests):
                return form, tests, ()
        if _COLUMN in tests and _SOLUTIONS in tests:
            tests, references = content(tests[_COLUMN]), texts(tests[_SOLUTIONS])
    for column_form in COLUMNS:
        if column_form.recognises(tests):
            return column_form, tests, references
    return None


def _recognised(tests: Any) -> str | None:
    return next((form.NAME for form in COLUMNS if form.recognises(tests)), None)
