"""Rows as data sets write them: recognised, read into tests, and refused with a reason."""

import base64
import json
import pickle
import zlib
from typing import Any

import numpy as np
import pytest

from learnalign.config import DataConfig
from learnalign.problems.columns import recognise
from learnalign.problems.rows import Rows
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


ONE_TEXT = "\n".join(ASSERTS)


@pytest.mark.parametrize(
    "tests",
    [
        ONE_TEXT,
        "; ".join(ASSERTS),
        "\n# the second\n\n".join(ASSERTS) + "\n",
        [*ASSERTS, None, ""],
        tuple(ASSERTS),
        np.array(ASSERTS, dtype=object),
        json.dumps(json.dumps(ASSERTS)),
        str(ASSERTS),
        {"assert_case": np.array(ASSERTS, dtype=object)},
        {"assert_case": ONE_TEXT},
    ],
    ids=str,
)
def test_assertions_however_they_are_written(tests: Any) -> None:
    row = {"prompt": "Add.", "tests": tests}
    assert recognise([row], DataConfig(), location="x.jsonl").answer == "tests"
    gold, tests_gold = gold_of(row, "tests"), registry.tests_gold(tests)
    assert gold is not None
    assert tests_gold is not None
    for text in (gold[0], tests_gold):
        assert read_suite(text).tests == tuple(map(ScriptTest, ASSERTS))


def test_arrays_of_numpy_are_the_tests_that_they_hold() -> None:
    cases = np.array([{"input": "1", "output": "2"}, {"input": "3", "output": "4"}], dtype=object)
    pairs = {key: np.array([c[key[:-1]] for c in cases], dtype=object) for key in PAIRS}
    for tests in (cases, pairs, {"language": "python", "test_cases": cases}):
        gold = registry.tests_gold(tests)
        assert gold is not None
        assert read_suite(gold).tests == (InputTest("1", "2"), InputTest("3", "4"))


@pytest.mark.parametrize(
    "script",
    [
        "for i in range(3):\n    assert add(i, 0) == i",
        "def test_add():\n    assert add(1, 2) == 3",
        "import unittest\n\nclass AddTest(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)",
        "def check(candidate):\n    assert candidate(1, 2) == 3\n\ncheck(add)",
    ],
)
def test_a_script_is_the_tests_and_a_program_is_not(script: str) -> None:
    gold = gold_of({"prompt": "Add.", "tests": script})
    assert gold is not None
    assert read_suite(gold[0]).tests == (ScriptTest(script),)
    assert not is_tests(ADD + ONE_TEXT)
    assert not is_tests("Assertion: he will assert that x = 3")


def test_what_assertions_need_comes_before_each() -> None:
    suite = read_suite("import math\nx = 2\nassert f(x) == 2\nassert f(1) == math.e")
    assert [test.code for test in suite.tests if isinstance(test, ScriptTest)] == [
        "import math\nx = 2\nassert f(x) == 2",
        "import math\nx = 2\nassert f(1) == math.e",
    ]


def test_a_row_without_tests_keeps_no_other_from_being_read() -> None:
    rows: list[dict[str, Any]] = [{"prompt": "Add.", "tests": ASSERTS} for _ in range(3)]
    rows += [{"prompt": "Sub.", "tests": tests} for tests in ("[]", None, ["sub(2, 1) is 1", "x"])]
    columns = recognise(rows, DataConfig(), location="x.jsonl")
    assert columns.answer == "tests"
    reader = Rows(rows, columns, DataConfig(), "x.jsonl")
    golds = [reader.read(row, i, f"row {i}")[1] for i, row in enumerate(rows)]
    assert [gold.reason for gold in golds[2:]] == [
        *("", "missing_answer", "missing_answer", "unreadable_answer")
    ]
    assert "no known format of tests" in golds[-1].detail


def test_nemo_gym_keeps_the_tests_of_programs_beside_the_request() -> None:
    row = {"responses_create_params": {"input": [{"role": "user", "content": "Add."}]}}
    row |= {"verifier_metadata": {"problem_id": "1", "unit_tests": PAIRS}}
    columns = recognise([row], DataConfig(), location="x.jsonl")
    assert columns.answer == "verifier_metadata.unit_tests"
    gold = gold_of(row, columns.answer)
    assert gold is not None
    assert read_suite(gold[0]).tests == (InputTest("1 2\n", "3\n"), InputTest("3 4\n", "7\n"))


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
