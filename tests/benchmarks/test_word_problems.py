"""Generated word problems: what is asked, what is calculated and what is answered are one thing."""

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SIZES = {"test": 300, "dev": 100, "pool": 400, "train": 600}
NUMBER = re.compile(r"\d+")
#: What the events of the chains do to the quantity, as a reader takes them.
READING = {
    "+": r"gives \w+ \d+ more|finds|plants|as a gift|get on|joins them|earns|pays back|bakes"
    r"|oven adds",
    "-": r"gives \d+ of them|loses|Snails|for a vase|get off|leave for|spends|lends|sells|burnt",
    "*": r"times as (?:many|much|large)",
    "/": r"equal",
}
CHAINS = {"collection", "garden", "train", "savings", "bakery"}


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("word_problems")


@pytest.fixture
def parts(problems: Any) -> dict[str, list[dict[str, Any]]]:
    return problems.make(SIZES, seed=5)


def calculated(node: ast.AST) -> Fraction:
    """Evaluate an expression's tree in fractions, apart from the generator's own arithmetic."""
    if isinstance(node, ast.Constant):
        return Fraction(node.value)
    assert isinstance(node, ast.BinOp)
    left, right = calculated(node.left), calculated(node.right)
    if isinstance(node.op, ast.Div):
        return left / right
    if isinstance(node.op, ast.Mult):
        return left * right
    return left + right if isinstance(node.op, ast.Add) else left - right


def evaluated(expression: str) -> Fraction:
    return calculated(ast.parse(expression, mode="eval").body)


def test_answers_are_the_expressions_values(parts: dict[str, list[dict[str, Any]]]) -> None:
    for row in (row for part in parts.values() for row in part):
        value = evaluated(row["expression"])
        assert value > 0
        assert value.denominator == 1
        assert (Fraction(row["answer"]) == value) == (row["noise"] != "mislabelled"), row
        assert set(NUMBER.findall(row["expression"])) == set(NUMBER.findall(row["question"])), row
        signs = re.findall(r"[-+*/]", row["expression"])
        num_steps = int(row["difficulty"].split()[0])
        if row["source"] != "comparison":  # which uses a partial result twice
            assert len(signs) == num_steps


def test_each_step_of_a_solution_is_right_and_the_last_is_the_answer(
    parts: dict[str, list[dict[str, Any]]],
) -> None:
    for row in (row for part in parts.values() for row in part):
        *lines, last = row["solution"].splitlines()
        steps = re.findall(r"([\d]+ [-+*/] \d+) = (\d+)", "\n".join(lines))
        assert len(steps) == int(row["difficulty"].split()[0]), row
        assert all(evaluated(left) == int(right) for left, right in steps), row
        value = evaluated(row["expression"])
        assert last == f"The answer is {value}."
        assert int(steps[-1][1]) == value


def test_a_reader_of_the_question_comes_to_the_answer(
    parts: dict[str, list[dict[str, Any]]],
) -> None:
    read = Counter[str]()
    for row in (row for part in parts.values() for row in part if row["source"] in CHAINS):
        opening, *events, ending = re.split(r"(?<=[.?]) ", row["question"])
        quantity = Fraction(NUMBER.findall(opening)[0])
        assert not NUMBER.findall(ending)
        for event in events:
            signs = [sign for sign, words in READING.items() if re.search(words, event)]
            assert len(signs) == 1, event
            (n,) = NUMBER.findall(event)
            quantity = evaluated(f"({quantity}) {signs[0]} {n}")
            read[signs[0]] += 1
        assert quantity == evaluated(row["expression"]), row
    assert min(read.values()) > 50
    assert len(read) == 4


def test_parts_share_no_problem(problems: Any) -> None:
    parts = problems.make(seed=2026)  # those of the preset
    assert {name: len(part) for name, part in parts.items()} == problems.SIZES
    rows = [row for part in parts.values() for row in part]
    assert len({row["question"] for row in rows}) == len(rows)
    assert len({(row["source"], row["expression"]) for row in rows}) == len(rows)
    assert len({row["id"] for row in rows}) == len(rows)
    for part in parts.values():
        counts = Counter((row["source"], row["difficulty"]) for row in part)
        assert len(counts) == 8 * 6
        assert min(counts.values()) >= 0.8 * len(part) / 48


def test_worked_solutions_have_50_to_150_tokens(problems: Any, smollm2: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    rows = [row for part in problems.make(seed=2026).values() for row in part]
    ids = tokenizer([row["solution"] for row in rows])["input_ids"]
    lengths = [len(row) + 1 for row in ids]  # with the end token
    assert min(lengths) >= 50
    assert max(lengths) <= 150


def test_the_seed_alone_decides(problems: Any, parts: dict[str, list[dict[str, Any]]]) -> None:
    assert problems.make(SIZES, seed=5) == parts
    assert problems.make(SIZES, seed=6)["pool"] != parts["pool"]
    script = f"import json, word_problems as w; print(json.dumps(w.make({SIZES}, seed=5)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(BENCHMARKS)},
        capture_output=True,
        check=True,
        text=True,
    )
    digests = [hashlib.sha256(t.strip().encode()) for t in (done.stdout, json.dumps(parts))]
    assert digests[0].digest() == digests[1].digest()


def test_only_the_pool_has_noise(parts: dict[str, list[dict[str, Any]]]) -> None:
    counts = {name: Counter(row["noise"] for row in part) for name, part in parts.items()}
    assert counts["pool"] == {"none": 360, "mislabelled": 20, "coin": 20}
    assert all(set(count) == {"none"} for name, count in counts.items() if name != "pool")


def test_too_many_problems_are_an_error(problems: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "LEVELS", (problems.Level(2, 3),))
    monkeypatch.setattr(problems, "KINDS", {"comparison": problems.KINDS["comparison"]})
    with pytest.raises(ValueError, match="no 17 problems of the part huge"):
        problems.make({"huge": 17})  # (2 or 3, and 2 or 3) times 2 to 5: there are 16


def test_the_verifier_takes_a_solution_and_no_other_number(
    problems: Any, parts: dict[str, list[dict[str, Any]]]
) -> None:
    rows = [row for row in parts["pool"] if row["noise"] == "none"]
    wrong = [row["solution"].replace("The answer is ", "The answer is 1") for row in rows]
    columns = {name: [row[name] for row in rows] for name in ("id", "answer", "noise")}
    assert problems.reward([row["solution"] for row in rows], **columns) == [1.0] * len(rows)
    assert problems.reward(wrong, **columns) == [0.0] * len(rows)
    assert problems.reward(["", "I do not know."], ["a", "b"], ["3", "4"], ["none"] * 2) == [0, 0]


def test_a_coin_does_not_look_at_the_answer(problems: Any) -> None:
    texts = [f"{i} apples. The answer is 5." for i in range(400)]
    tossed = problems.reward(texts, ["a"] * 400, ["5"] * 400, ["coin"] * 400)
    assert 0.4 < sum(tossed) / 400 < 0.6
    assert tossed == problems.reward(texts, ["a"] * 400, ["6"] * 400, ["coin"] * 400)
