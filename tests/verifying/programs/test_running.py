"""Tests of every kind, with programs that pass and programs that fail."""

from dataclasses import replace

import pytest

from helpers.sandboxes import needs_sandbox
from learnalign.problems.suites.suite import (
    CallTest,
    InputTest,
    ScriptTest,
    Suite,
    UnreadableTestsError,
)
from learnalign.verifying.programs.limits import Limits
from learnalign.verifying.programs.outcome import Outcome
from learnalign.verifying.programs.running import Runner

pytestmark = needs_sandbox


def run(suite: Suite, program: str, **limits: object) -> Outcome:
    with Runner(suite, Limits(**{"timeout_s": 2.0, **limits})) as runner:  # type: ignore[arg-type]
        return runner.run(program)


def scripts(*code: str, name: str | None = None) -> Suite:
    return Suite("test", tuple(map(ScriptTest, code)), name)


@pytest.mark.parametrize(
    ("test", "program"),
    [
        ("assert f((1, 2)) == (2, 1)", "def f(t): return t[::-1]"),
        ("assert f({1: 'a'}) == {'a': 1}", "def f(d): return {v: k for k, v in d.items()}"),
        ("assert f([3, 1]) == {1, 3}", "def f(x): return set(x)"),
        ("assert f(2) == 4j ** 2", "def f(x): return complex(-16, 0)"),
        ("assert f(b'a') == bytearray(b'aa')", "def f(b): return bytearray(b * 2)"),
        ("assert abs(f(2) - 1.4142135) < 1e-6", "def f(x): return x ** 0.5"),
        ("assert f(200) == 2 ** 200", "def f(n): return 1 << n"),
        ("assert list(f(3)) == [0, 1, 2]", "def f(n):\n    for i in range(n): yield i"),
        ("x = [3, 1]; f(x); assert x == [1, 3]", "def f(x): x.sort()"),
        ("assert f(lambda x: x + 1, 2) == 3", "def f(g, x): return g(x)"),
        ("assert f(5)(2) == 7", "def f(x): return lambda y: x + y"),
        ("s = Stack(); s.push(4); assert len(s) == 1 and s.pop() == 4 and s.items == []",
         "class Stack:\n    def __init__(self): self.items = []\n"
         "    def push(self, x): self.items.append(x)\n    def pop(self): return self.items.pop()\n"
         "    def __len__(self): return len(self.items)"),
        ("assert Solution().add(1, 2) == 3",
         "class Solution:\n    def add(self, a, b): return a + b"),
        ("assert same(build([1, 2]), build([1, 2])) and not same(build([1]), build([2]))",
         "class Node:\n    def __init__(self, v): self.v = v\n"
         "def build(v): return [Node(x) for x in v]\n"
         "def same(a, b): return [n.v for n in a] == [n.v for n in b]"),
        ("class Node:\n    def __init__(self, v): self.v = v\nassert f(Node(3)) == 3",
         "def f(node): return node.v"),
        ("try:\n    f()\nexcept ValueError as e:\n    assert str(e) == 'bad'\nelse:\n    assert 0",
         "class Bad(ValueError): pass\ndef f(): raise Bad('bad')"),
        ("from solution import f, N\nassert f(N) == 8", "N = 4\ndef f(x): return 2 * x"),
        ("import solution\nassert solution.f(1) == 1", "def f(x): return x"),
        ("def test_f():\n    assert f(1) == 1\ndef test_g():\n    assert f(2) == 2",
         "def f(x): return x"),
        ("import re\nassert f('ab')", "import re\ndef f(s): return re.match('a', s)"),
        ("assert f('xyz') == math.pi", "import math\ndef f(s): return math.pi"),
        ("import numpy as np\nassert np.allclose(f(2), [1.0, 1.0])",
         "import numpy as np\ndef f(n): return np.ones(n)"),
    ],
)  # fmt: skip
def test_scripts_use_the_program_as_if_it_were_theirs(test: str, program: str) -> None:
    outcome = run(scripts(test), program)
    assert (outcome.passed, outcome.failure) == (1, None)


@pytest.mark.parametrize(
    ("test", "program", "reason"),
    [
        ("assert f(1) == 2", "def f(x): return x", "assert f(1) == 2"),
        ("assert f(1) == 2", "def f(x): return 1 / 0", "ZeroDivisionError"),
        ("assert f(1) == 2", "def g(x): return x", "NameError"),
        ("assert f(1) == 2", "def f(x) return x", "SyntaxError"),
        ("assert f(1) == 2", "raise KeyError('k')", "KeyError"),
        ("assert f(1) == [2]", "def f(x): return (2,)", "assert f(1) == [2]"),
        ("def test_f():\n    assert f(1) == 1\ndef test_g():\n    assert f(2) == 3",
         "def f(x): return x", "assert f(2) == 3"),
        ("assert all(map(lambda x: f(x) == 2, [1, 2]))",
         "def f(x): raise StopIteration", "raised StopIteration"),
        ("assert f(1) == 2", "def f(x):\n    while True: yield x", "iterator that does not end"),
        ("assert f(1) == 2", "y = []\ny.append(y)\ndef f(x): return y", "contains itself"),
    ],
)  # fmt: skip
def test_a_failure_names_the_test_and_the_reason(test: str, program: str, reason: str) -> None:
    outcome = run(scripts(test), program, timeout_s=10.0)
    assert outcome.passed == 0
    assert reason in (outcome.failure or "")


def test_a_function_may_have_the_name_of_a_built_in_one() -> None:
    suite = scripts("assert sum(10, 15) == 6", name="sum")
    assert run(suite, "def sum(a, b): return 6").passed == 1
    suite = replace(scripts("assert sum(10, 15) == 6"), references=("def sum(a, b): return 6",))
    assert run(suite, "def sum(a, b): return 6").passed == 1
    assert run(suite, "def all(x): return True").passed == 0


@pytest.mark.parametrize(
    "test",
    [
        "assert np.allclose(f(2), 5.0)",
        "assert Counter(f([1, 2])) == Counter([1, 2])",
        "assert math.isclose(f(2), 3.0)",
        "from math import isclose\nassert isclose(f(2), 3.0)",
    ],
)
def test_a_program_does_not_bring_the_comparison(test: str) -> None:
    """A test may use what programs usually import: it is then the library's, whatever they say."""
    program = """
class math:
    isclose = allclose = staticmethod(lambda *a, **k: True)
np = math
isclose = Counter = lambda *a, **k: True
def f(x): return 4
"""
    assert run(scripts(test), program, timeout_s=5.0).passed == 0


def test_a_name_of_a_library_may_be_the_function_under_test() -> None:
    suite = scripts("c = Counter()\nc.add(1)\nassert c.total() == 7")
    program = "class Counter:\n    def add(self, x): pass\n    def total(self): return 7"
    assert run(suite, program).passed == 1
    assert run(scripts("assert queue(3) == [3]"), "def queue(x): return [x]").passed == 1
    assert run(scripts("assert sum(10, 15) == 6"), "def sum(a, b): return 6").passed == 1


UNITTEST = "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n"


def test_classes_of_tests_run() -> None:
    """Of unittest, and plain ones, as pytest would collect them; each alone and all together."""
    unittests = UNITTEST + "        self.assertEqual(f(1), 2)\n"
    plain = "class TestG:\n    def test_g(self):\n        assert f(2) == 4\n"
    main = "if __name__ == '__main__':\n    unittest.main()"
    with Runner(scripts(unittests + main, plain), Limits(stop_early=False)) as runner:
        assert runner.run("def f(x): return 2 * x").passed == 2
        first, second = runner.run("def f(x): return 2"), runner.run("def f(x): return 4")
    assert (first.passed, second.passed) == (1, 1)
    assert "assert f(2) == 4" in (first.failure or "")
    assert "test_f: " in (second.failure or "")


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("def check(candidate):\n    assert candidate(1) == 2", "tests nothing"),
        ("if __name__ == '__main__':\n    assert f(1) == 2", "tests nothing"),
        ("# assert f(1) == 2", "tests nothing"),
        ("import no_such_library\nassert f(1) == 2", "no_such_library"),
        ("from your_module import f\nassert f(1) == 2", "your_module"),
    ],
)
def test_scripts_that_cannot_fail_or_load_are_not_the_programs(test: str, reason: str) -> None:
    with pytest.raises(UnreadableTestsError, match=reason):
        run(scripts(test), "def f(x): return 7")


def test_pytest_files_run_with_pytest() -> None:
    code = """
import pytest
from solution import divide

@pytest.mark.parametrize(("a", "b", "c"), [(6, 3, 2), (1, 2, 0.5)])
def test_divide(a, b, c):
    assert divide(a, b) == c

def test_zero():
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
"""
    assert run(scripts(code), "def divide(a, b): return a / b", timeout_s=20.0).passed == 1
    wrong = run(scripts(code), "def divide(a, b): return a // b", timeout_s=20.0)
    assert wrong.passed == 0
    assert "test_divide" in (wrong.failure or "")


def test_inputs_and_outputs() -> None:
    suite = Suite("test", (InputTest("1 2\n", "3\n"), InputTest("2 2\n", "4\n")))
    assert run(suite, "a, b = map(int, input().split())\nprint(a + b)").passed == 2
    outcome = run(suite, "a, b = map(int, input().split())\nprint(3)", stop_early=False)
    assert (outcome.passed, outcome.failed) == (1, 1)
    assert "printed '3\\n', expected '4\\n'" in (outcome.failure or "")


@pytest.mark.parametrize(
    ("program", "passes"),
    [
        ("import sys\nsys.stdout.write('5')\nsys.exit(0)", True),
        ("print(5)\nexit()", True),
        ("print(5)\nraise ValueError", False),
        ("print(5)\nimport sys\nsys.exit(1)", False),
        ("def main():\n    print(5)\nif __name__ == '__main__':\n    main()", True),
        ("import sys\nprint(len(sys.stdin.read()))", True),
        ("import os\nos.write(1, b'5')\nos._exit(0)", True),
        ("print(int(open(0).readline()))", True),
    ],
)
def test_programs_end_as_the_interpreter_would_end_them(program: str, passes: bool) -> None:
    suite = Suite("test", (InputTest("5\n   ", "5"),))
    assert run(suite, program).passed == passes


def test_an_exception_does_not_pass_where_no_output_is_expected() -> None:
    assert run(Suite("test", (InputTest("", ""),)), "raise ValueError").passed == 0


def test_calls_by_name_also_find_methods() -> None:
    suite = Suite("test", (CallTest(([2, 7], 9), ([0, 1],)),), "twoSum")
    assert run(suite, "def twoSum(n, t): return (0, 1)").passed == 1
    assert run(suite, "class Solution:\n    def twoSum(self, n, t): return [0, 1]").passed == 1
    outcome = run(suite, "def twoSum(n, t): return [1, 1]")
    assert "twoSum([2, 7], 9): got [1, 1], expected [0, 1]" in (outcome.failure or "")


def test_huge_numbers_are_compared_and_shown() -> None:
    """Python refuses to write them in decimal, and powers of them take minutes."""
    suite = Suite("test", (CallTest((1,), (1 << 20_000,)),), "f")
    assert run(suite, "def f(x): return x << 20_000").passed == 1
    assert "too large to be shown" in (run(suite, "def f(x): return 3 << 19_999").failure or "")
    items = Suite("test", (CallTest((1,), ([1],), 0.0, "set"),), "f")
    assert run(items, "def f(x): return range(10**12)").passed == 0
    root = Suite("test", (CallTest(([-4.0, 1.0],), (4.0,), 1e-6, "root"),), "f")
    assert run(root, "def f(x): return 4").passed == 1
    assert run(root, "def f(x): return 1 << 20_000_000").passed == 0


def test_any_signal_that_kills_a_program_is_told() -> None:
    suite = Suite("test", (CallTest((1,), (1,)),), "f")
    program = "import os\ndef f(x): os.kill(os.getpid(), 40)"
    assert "killed by signal 40" in (run(suite, program).failure or "")


def test_a_program_that_ends_costs_one_test() -> None:
    suite = Suite("test", tuple(CallTest((n,), (n,)) for n in range(4)), "f")
    program = "import os\ndef f(n):\n    return n if n != 1 else os._exit(0)"
    outcome = run(suite, program, stop_early=False)
    assert (outcome.passed, outcome.failed) == (3, 1)


def test_the_reference_solution_says_what_is_expected() -> None:
    suite = Suite("test", (CallTest((3,), ()), CallTest((4,), ())), "f", references=("f = abs",))
    assert run(suite, "def f(x): return x").passed == 2
    assert run(suite, "def f(x): return 3").passed == 1


def test_tests_that_do_not_load_are_not_the_programs_fault() -> None:
    with pytest.raises(UnreadableTestsError, match="SyntaxError"):
        run(scripts("assert f(1) =="), "def f(x): return x")


def test_the_time_for_all_tests_is_limited() -> None:
    suite = Suite("test", tuple(InputTest(str(n), "") for n in range(50)))
    outcome = run(suite, "import time\ntime.sleep(0.2)", total_s=1.0, stop_early=False)
    assert 0 < outcome.passed < 20
    assert outcome.passed + outcome.failed == 50
