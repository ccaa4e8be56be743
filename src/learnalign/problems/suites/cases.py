"""Lists of cases with an input and an output each: LiveCodeBench, open-r1, SYNTHETIC.

[{"input": "1 2", "output": "3", "testtype": "stdin"}]
[{"input": "[1, 2]", "output": "3", "type": "function_call", "fn_name": "add"}]
"""

from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.pairs import called, printed
from learnalign.problems.suites.suite import Suite, Test, UnreadableTestsError, content

NAME = "cases"
DATA_SETS = "open-r1, SYNTHETIC-1, DeepCoder"
_CALLS = ("functional", "function_call")


def recognises(tests: Any) -> bool:
    """Return whether a value is a list of cases, or an object that holds one."""
    cases = _cases(tests)
    return bool(cases) and all(
        isinstance(case, Mapping) and {"input", "output"} <= case.keys() for case in cases
    )


def read(tests: Any, name: str | None = None) -> Suite:
    """Read the cases.

    Args:
        tests: The list, or ``{"language": ..., "test_cases": [...]}``.
        name: The function to call, if the cases do not name it.

    Raises:
        UnreadableTestsError: for another language than Python, or calls without a name.

    Example:
        >>> read([{"input": "1", "output": "2", "testtype": "stdin"}]).tests
        (InputTest(input='1', output='2'),)
    """
    language = tests.get("language", "python") if isinstance(tests, Mapping) else "python"
    if str(language).lower() not in ("python", "python3"):
        raise UnreadableTestsError(f"programs in {language}")
    cases = _cases(tests)
    metadata = (content(case.get("metadata")) for case in cases)
    functions = [m.get("func_name") if isinstance(m, Mapping) else None for m in metadata]
    functions += [case.get("fn_name") for case in cases]
    name = name or next(filter(None, functions), None)
    return Suite("cases", tuple(_test(case, name) for case in cases), entry_point=name)


def _test(case: Mapping[str, Any], name: str | None) -> Test:
    kind = case.get("testtype") or case.get("type")
    if kind in _CALLS or (kind is None and case.get("fn_name")):
        if name is None:
            raise UnreadableTestsError("calls of a function without its name")
        return called(case["input"], case["output"])
    return printed(case["input"], case["output"])


def _cases(tests: Any) -> list[Any]:
    if isinstance(tests, Mapping):
        tests = content(tests.get("test_cases"))
    return tests if isinstance(tests, list) else []
