"""Rows as data sets write them: recognised, read into tests, and refused with a reason."""

import base64
import json
import pickle
import zlib
from typing import Any

import pytest

from learnalign.config import DataConfig
from learnalign.problems.columns import recognise
from learnalign.problems.suites import registry
from learnalign.problems.suites.registry import gold_of, is_tests, read_suite
from learnalign.problems.suites.suite import (
    CallTest,
    InputTest,
    ScriptTest,
    Suite,
    UnreadableTestsError,
)

PAIRS = {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}
CALLS = {"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}
CASES = [{"input": "1 2", "output": "3", "testtype": "stdin"}]
CASE_OF_A_CALL = {"input": "1\n[2]", "output": "[3]", "testtype": "functional"}
ASSERTS = ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]
ADD = "def add(a, b):\n    return a + b\n"
PYTEST = "from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3\n"


def packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode()


#: Data set, row, prompt's and tests' columns, format, tests.
ROWS: list[tuple[str, dict[str, Any], tuple[str, str], str, list[Any]]] = [
    ("APPS", {"question": "Add.", "input_output": json.dumps(PAIRS),
      "solutions": json.dumps([ADD])},
     ("question", "input_output"), "inputs and outputs",
     [InputTest("1 2\n", "3\n"), InputTest("3 4\n", "7\n")]),
    ("TACO with calls", {"question": "Add.", "input_output": json.dumps(CALLS)},
     ("question", "input_output"), "inputs and outputs", [CallTest((1, 2), (3,))]),
    ("PRIME, as verl", {"data_source": "taco", "prompt": [{"role": "user", "content": "Add."}],
      "ability": "code", "reward_model": {"style": "rule", "ground_truth": json.dumps(PAIRS)}},
     ("prompt", "reward_model.ground_truth"), "inputs and outputs",
     [InputTest("1 2\n", "3\n"), InputTest("3 4\n", "7\n")]),
    ("verl, assert_case", {"data_source": "a", "prompt": [{"role": "user", "content": "Add."}],
      "reward_model": {"ground_truth": json.dumps({"assert_case": ASSERTS})}},
     ("prompt", "reward_model.ground_truth"), "assertions", list(map(ScriptTest, ASSERTS))),
    ("CodeContests", {"question": "Add.", "private_tests": {"input": ["1 2"], "output": ["3"]}},
     ("question", "private_tests"), "inputs and outputs", [InputTest("1 2", "3")]),
    ("LiveCodeBench", {"question_title": "Add", "question_content": "Add.", "metadata": "{}",
      "public_test_cases": json.dumps(CASES), "private_test_cases": packed(CASES)},
     ("question_content", "public_test_cases"), "LiveCodeBench", [InputTest("1 2", "3")] * 2),
    ("LiveCodeBench with calls", {"question_content": "Add.", "starter_code": "class Solution:",
      "metadata": json.dumps({"func_name": "add"}), "private_test_cases": "[]",
      "public_test_cases": json.dumps([CASE_OF_A_CALL])},
     ("question_content", "public_test_cases"), "LiveCodeBench",
     [CallTest((1, [2]), ([3], 3))]),
    ("open-r1", {"prompt": "Add.", "verification_info": {"language": "python", "test_cases":
      [{"input": "1 2", "output": "3", "type": "stdin_stdout", "fn_name": None}]}},
     ("prompt", "verification_info"), "cases", [InputTest("1 2", "3")]),
    ("AceCoder", {"question": "Add.", "tests": ASSERTS, "id": "a"},
     ("question", "tests"), "assertions", list(map(ScriptTest, ASSERTS))),
    ("open-instruct", {"messages": [{"role": "user", "content": "Add."}], "ground_truth": ASSERTS,
      "dataset": "code"},
     ("messages", "ground_truth"), "assertions", list(map(ScriptTest, ASSERTS))),
    ("KodCode", {"question": "Add.", "solution": ADD, "test": PYTEST, "style": "instruct"},
     ("question", "test"), "KodCode", [ScriptTest(PYTEST)]),
    ("HumanEval", {"task_id": "HumanEval/0", "prompt": "def add(a, b):\n", "entry_point": "add",
      "canonical_solution": "    return a + b\n", "test": "def check(candidate):\n    pass"},
     ("prompt", "test"), "HumanEval", [ScriptTest("def check(candidate):\n    pass\ncheck(add)")]),
    ("EvalPlus", {"task_id": "Mbpp/1", "prompt": '"""Add."""', "entry_point": "add", "atol": 0,
      "canonical_solution": ADD, "base_input": [[1, 2]], "plus_input": [[0, 0]]},
     ("prompt", "base_input"), "EvalPlus", [CallTest((1, 2), ()), CallTest((0, 0), ())]),
    ("MBPP", {"text": "Add.", "code": ADD, "task_id": 1, "test_setup_code": "",
      "test_list": ASSERTS, "challenge_test_list": []},
     ("text", "test_list"), "MBPP", list(map(ScriptTest, ASSERTS))),
    ("LeetCode of code-r1", {"prompt": "Add.",
      "reward_model": {"ground_truth": json.dumps({"functional": "check(Solution().add)"})}},
     ("prompt", "reward_model.ground_truth"), "test script", [ScriptTest("check(Solution().add)")]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "columns", "form", "tests"), [r[1:] for r in ROWS],
                         ids=[r[0] for r in ROWS])  # fmt: skip
def test_rows_are_recognised_and_read(
    row: dict[str, Any], columns: tuple[str, str], form: str, tests: list[Any]
) -> None:
    found = recognise([row], DataConfig(), location="x.jsonl")
    assert (found.prompt, found.answer) == columns
    gold = gold_of(row, found.answer)
    assert gold is not None
    assert gold[1] == form
    assert is_tests(gold[0])
    suite = read_suite(gold[0])
    assert (suite.format, list(suite.tests)) == (form, tests)


def test_reference_solutions_come_with_the_tests() -> None:
    def references(name: str) -> tuple[str, ...]:
        row = next(row for title, row, *_ in ROWS if title == name)
        gold = gold_of(row)
        assert gold is not None
        suite: Suite = read_suite(gold[0])
        return suite.references

    assert references("APPS") == (ADD,)
    assert references("MBPP") == references("KodCode") == (ADD,)
    assert references("HumanEval")[0] == ADD
    assert references("AceCoder") == ()


@pytest.mark.parametrize(
    "row",
    [
        {"question": "1+1?", "answer": "2"},
        {"question": "Which?", "answer": '["a", "b"]'},
        {"question": "What is asserted?", "answer": "I assert it."},
        {"question": "?", "answer": '{"a": [1]}'},
        {"prompt": "?", "reward_model": {"ground_truth": "12"}},
        {"question": "A list?", "answer": "[1, 2]"},
    ],
)
def test_other_rows_are_not_code_problems(row: dict[str, Any]) -> None:
    assert registry.tests_columns([row]) is None
    assert gold_of(row) is None


class _Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (pytest.fail, ("the pickle was loaded",))


def test_pickles_are_refused_by_name() -> None:
    row = {
        "question_content": "Add.",
        "public_test_cases": json.dumps(CASES),
        "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(_Bomb()))).decode(),
        "metadata": "{}",
    }
    gold = gold_of(row)
    assert gold is not None
    with pytest.raises(UnreadableTestsError, match="private_test_cases is a pickle"):
        read_suite(gold[0])


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ({"inputs": ["1"], "outputs": []}, "1 inputs and 0 outputs"),
        ({"language": "cpp", "test_cases": CASES}, "programs in cpp"),
        ([{"input": "1", "output": "1", "testtype": "functional"}], "without its name"),
    ],
)
def test_unreadable_tests_say_why(tests: Any, reason: str) -> None:
    with pytest.raises(UnreadableTestsError, match=reason):
        read_suite(json.dumps(tests))


def test_helpers_of_a_prompt_are_the_tests_own() -> None:
    """HumanEval/38 and /50 test a decoder with the prompt's encoder: no program may bring one."""
    prompt = "def encode(s):\n    return s[::-1]\n\ndef todo(s):\n    ...\n\ndef decode(s):\n"
    test = "def check(candidate):\n    assert candidate(encode('ab')) == 'ab'\n    todo('')"
    row = {"prompt": prompt, "entry_point": "decode ", "test": test}
    suite = read_suite(json.dumps(row))
    (script,) = suite.tests
    assert isinstance(script, ScriptTest)
    assert script.code == "def encode(s):\n    return s[::-1]\n" + test + "\ncheck(decode )"
    assert suite.entry_point == "decode"


def test_a_problem_without_tests_is_passed_by_no_program() -> None:
    row = {"base_input": [], "plus_input": [], "entry_point": "f", "canonical_solution": "f = int"}
    with pytest.raises(UnreadableTestsError, match="no test"):
        read_suite(json.dumps(row))


def test_verls_assertions_override_the_inputs_beside_them() -> None:
    """Its scorer needs as many inputs and outputs; a quiet program would pass these."""
    tests = {"assert_case": ASSERTS, "inputs": ["", ""], "outputs": ["", ""], "fn_name": "add"}
    suite = read_suite(json.dumps(tests))
    assert (suite.tests, suite.entry_point) == (tuple(map(ScriptTest, ASSERTS)), "add")


def test_the_script_of_mbpp_plus_is_a_test_too() -> None:
    row = {"test_list": ASSERTS, "test": "for x in [1]:\n    assert add(x, 1) == 2", "code": ADD}
    gold = gold_of(row)
    assert gold is not None
    assert [test.code for test in read_suite(gold[0]).tests] == [*ASSERTS, row["test"]]  # type: ignore[union-attr]


def test_bigcodebench_begins_with_its_code_prompt() -> None:
    row = {"code_prompt": "import math\ndef f(x):\n", "canonical_solution": "    return x\n"}
    row |= {"test": "class T(unittest.TestCase): ...", "entry_point": "f", "instruct_prompt": "Do."}
    gold = gold_of(row)
    assert gold is not None
    assert read_suite(gold[0]).references[0] == "import math\ndef f(x):\n    return x\n"
