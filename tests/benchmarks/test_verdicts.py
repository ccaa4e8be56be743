"""Cases of others are collected without being run, and differences have a side that is right."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TESTS = r"""
import pytest
raise RuntimeError("this file is read, not run")

@pytest.mark.parametrize("gold, pred, expected", [
    (r"$\frac{1}{3}$", "1/3", 1),
    ("$5$", "6" + "", 0),
    ("$7$", "8", False),
])
def test_plain(gold, pred, expected): ...

@pytest.mark.parametrize("gold,pred,expected,precision", [("1.5", "1.6", 1, 0), ("2", "2", 1, 6)])
def test_with_options(gold, pred, expected, precision): ...

@pytest.mark.parametrize("pred,expected,config", [("A.", ["A"], str)])
def test_of_something_else(pred, expected, config): ...
"""


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The benchmark's modules, which import each other by their bare names."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    names = ("verdict_sets", "verdict_reasons", "verdicts")
    return SimpleNamespace(**{name: import_module(name) for name in names})


def test_published_tests_are_collected_without_being_run(
    benchmark: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    found, left_out = benchmark.verdict_sets.math_verify_tests(tmp_path)
    assert {one.key: (one.gold, one.completions, one.right) for one in found} == {
        "test_some:test_plain/0": (r"$\frac{1}{3}$", ["1/3"], ["correct"]),
        "test_some:test_plain/2": ("$7$", ["8"], ["wrong"]),
        "test_some:test_with_options/1": ("2", ["2"], ["correct"]),
    }
    assert left_out == 3  # a sum, another precision, another function


def test_differences_are_the_verdicts_that_are_not_the_known_ones(
    benchmark: SimpleNamespace,
) -> None:
    known = [
        benchmark.verdict_sets.Known(
            "a", "12", [r"\boxed{12}", r"\boxed{13}", "no idea"], 3 * ["correct"]
        ),
        benchmark.verdict_sets.Known("b", "5", ["It is 5.", "It is 6."], ["wrong", "wrong"]),
    ]
    figure, rows, found = benchmark.verdicts.compare("number", known, 0.5)
    assert [row["verdict"] for row in found] == [
        *("correct", "wrong", "unparsed_answer", "correct", "wrong")
    ]
    assert [row["case"] for row in rows] == ["a/1", "a/2", "b/0"]
    assert figure.value == 1 - 3 / 5
    assert figure.missed


def test_each_reason_says_which_side_is_right(benchmark: SimpleNamespace) -> None:
    sides = ("ours is right: ", "theirs is right: ", "the gold is damaged: ")
    assert all(why.startswith(sides) for why in benchmark.verdict_reasons.EXPLAINED.values())
