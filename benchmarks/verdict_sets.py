"""Completions with known verdicts: recorded by others, written by people, or published as tests."""

import ast
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ROOT
from learnalign.problems.golds import answer_of

SHARED = ROOT.parent / "shared"
DATA = SHARED / "data"
CASES = SHARED / "cases" / "verdicts.jsonl"
#: Parameters of math-verify's tests that request a different verdict from the default.
OTHER_OPTIONS = {"precision": 6, "strict": True, "allow_set_relation_comp": False}


@dataclass(frozen=True)
class Known:
    """A problem's gold, its completions, and their known verdicts."""

    key: str
    gold: str
    completions: list[str]
    right: list[str]
    """``correct`` or ``wrong``; any verdict for our own cases."""
    prompt: str = ""
    kind: str = "math"


def recorded(name: str) -> list[Known]:
    """Read a set by its name; empty if its file does not exist."""
    sets = {
        "MATH": (DATA / "rollouts" / "qwen_math_cot_100.jsonl", _qwen),
        "GSM8K": (DATA / "gsm8k" / "example_model_solutions.jsonl", _gsm8k),
        "MATH, worked": (DATA / "math" / "math_test.jsonl.gz", _worked),
        "GSM8K, worked": (DATA / "gsm8k" / "test.jsonl", _worked),
        "cases": (CASES, _cases),
    }
    path, read = sets[name]
    return list(read(name, rows(path))) if path.is_file() else []


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines, compressed or not."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from (json.loads(line) for line in lines)


def is_number(gold: str) -> bool:
    r"""Return whether a gold is a plain number, which the number verifier can judge.

    Example:
        >>> is_number("-1,250.5"), is_number(r"\frac{1}{2}")
        (True, False)
    """
    return re.fullmatch(r"-?\d[\d,]*(\.\d+)?", gold) is not None


def _verdict(right: bool) -> str:
    return "correct" if right else "wrong"


def _qwen(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Known]:
    """Read eight completions of Qwen2.5-Math per problem."""
    for number, row in enumerate(rows):
        right = [_verdict(score) for score in row["score"]]
        yield Known(f"{name}-{number}", str(row["gt"]), list(row["code"]), right, row["question"])


def _gsm8k(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Known]:
    """Read one completion from each of four GPT-3 models per problem."""
    for number, row in enumerate(rows):
        solutions = [v for v in row.values() if isinstance(v, dict) and "is_correct" in v]
        gold = answer_of(row["ground_truth"].rsplit("A:", 1)[-1].strip()) or ""
        texts = [v["solution"].rsplit("A:", 1)[-1].strip() for v in solutions]
        right = [_verdict(v["is_correct"]) for v in solutions]
        yield Known(f"{name}-{number}", gold, texts, right, row["question"])


def _worked(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Known]:
    """Read solutions written by people, which are all correct."""
    for number, row in enumerate(rows):
        text = row.get("solution") or row["answer"]
        gold = row["answer"] if "solution" in row else answer_of(row["answer"])
        prompt = row.get("problem") or row["question"]
        yield Known(f"{name}-{number}", str(gold), [text], ["correct"], prompt)


def _cases(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Known]:
    """Read our own cases, based on public reports, with their verifier and correct verdict."""
    for number, row in enumerate(rows):
        key = f"{name}-{number}"
        yield Known(key, row["gold"], [row["completion"]], [row["right"]], kind=row["kind"])


def math_verify_tests(folder: Path) -> tuple[list[Known], int]:
    """Collect the cases of math-verify's own tests, without running them.

    Returns:
        Cases with the key ``file:function/number``; and the number of skipped cases, which use
        other options or are not plain values.
    """
    cases, skipped = [], 0
    for path in sorted(folder.glob("test_*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for names, number, row in _parametrized(function):
                parameters = dict(zip(names, row, strict=False))
                others = OTHER_OPTIONS.keys() & parameters.keys()
                right = parameters.get("expected", parameters.get("result"))
                if (
                    not {"gold", "pred"} <= parameters.keys()
                    or right not in (0, 1)
                    or any(parameters[option] != OTHER_OPTIONS[option] for option in others)
                ):
                    skipped += 1
                    continue
                key = f"{path.stem}:{function.name}/{number}"
                verdict = _verdict(bool(right))
                cases.append(Known(key, parameters["gold"], [parameters["pred"]], [verdict]))
    return cases, skipped


def _parametrized(function: ast.FunctionDef) -> Iterator[tuple[list[str], int, tuple[Any, ...]]]:
    """Yield the parameter names, number and values of a test's cases; empty if not plain values."""
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call) or "parametrize" not in ast.dump(decorator.func):
            continue
        names, values = decorator.args[:2]
        if not isinstance(names, ast.Constant) or not isinstance(values, ast.List):
            continue
        for number, value in enumerate(values.elts):
            try:
                row = ast.literal_eval(value)
            except ValueError:
                row = ()
            yield re.split(r"\s*,\s*", str(names.value)), number, row


def answers() -> Iterator[tuple[str, str]]:
    """Yield the golds of all available pools, each with its file name."""
    files = [
        *sorted((DATA / "math").glob("*.jsonl.gz")),
        *sorted((DATA / "gsm8k").glob("t*.jsonl")),
        *sorted((DATA / "dapo17k").glob("*.jsonl.gz")),
        *sorted((DATA / "bench").glob("*.jsonl")),
        *sorted((DATA / "history").glob("*.jsonl.gz")),
    ]
    for path in files:
        for row in rows(path):
            names = ("final_answer", "answer", "Answer", "target")
            answer = next((row[name] for name in names if row.get(name) is not None), None)
            for item in answer if isinstance(answer, list) else [answer]:
                gold = answer_of(item)
                if gold:
                    yield path.name, gold
