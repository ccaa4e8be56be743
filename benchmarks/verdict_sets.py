"""Completions whose verdict is known: recorded by others, written by people, published as tests."""

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
#: Parameters of math-verify's tests that ask for another verdict than the usual one.
OTHER_OPTIONS = {"precision": 6, "strict": True, "allow_set_relation_comp": False}


@dataclass(frozen=True)
class Known:
    """One problem's gold, completions, and what others say of each."""

    key: str
    gold: str
    completions: list[str]
    right: list[str]
    """``correct`` or ``wrong``; any verdict for our own cases."""
    prompt: str = ""
    kind: str = "math"


def recorded(name: str) -> list[Known]:
    """Read a set by its name; nothing where its file is not there."""
    found = {
        "MATH": (DATA / "rollouts" / "qwen_math_cot_100.jsonl", _qwen),
        "GSM8K": (DATA / "gsm8k" / "example_model_solutions.jsonl", _gsm8k),
        "MATH, worked": (DATA / "math" / "math_test.jsonl.gz", _worked),
        "GSM8K, worked": (DATA / "gsm8k" / "test.jsonl", _worked),
        "cases": (CASES, _cases),
    }
    path, read = found[name]
    return list(read(name, rows(path))) if path.is_file() else []


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines, compressed or not."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from (json.loads(line) for line in lines)


def is_number(gold: str) -> bool:
    r"""Whether a gold is one plain number, which the number verifier may be asked about.

    Example:
        >>> is_number("-1,250.5"), is_number(r"\frac{1}{2}")
        (True, False)
    """
    return re.fullmatch(r"-?\d[\d,]*(\.\d+)?", gold) is not None


def _verdict(right: bool) -> str:
    return "correct" if right else "wrong"


def _qwen(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Known]:
    """Eight completions of Qwen2.5-Math a problem."""
    for number, row in enumerate(rows):
        right = [_verdict(score) for score in row["score"]]
        yield Known(f"{name}-{number}", str(row["gt"]), list(row["code"]), right, row["question"])


def _gsm8k(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Known]:
    """One completion of each of four GPT-3 models."""
    for number, row in enumerate(rows):
        said = [v for v in row.values() if isinstance(v, dict) and "is_correct" in v]
        gold = answer_of(row["ground_truth"].rsplit("A:", 1)[-1].strip()) or ""
        texts = [v["solution"].rsplit("A:", 1)[-1].strip() for v in said]
        right = [_verdict(v["is_correct"]) for v in said]
        yield Known(f"{name}-{number}", gold, texts, right, row["question"])


def _worked(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Known]:
    """What people wrote as solutions: right, whoever judges."""
    for number, row in enumerate(rows):
        text = row.get("solution") or row["answer"]
        gold = row["answer"] if "solution" in row else answer_of(row["answer"])
        prompt = row.get("problem") or row["question"]
        yield Known(f"{name}-{number}", str(gold), [text], ["correct"], prompt)


def _cases(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Known]:
    """Made-up cases after public reports: each says its verifier and the right verdict."""
    for number, row in enumerate(rows):
        key = f"{name}-{number}"
        yield Known(key, row["gold"], [row["completion"]], [row["right"]], kind=row["kind"])


def math_verify_tests(folder: Path) -> tuple[list[Known], int]:
    """Collect the cases of math-verify's own tests, without running them.

    Returns:
        Cases under the key ``file:function/number``; how many were left out, because they ask for
        other options or are not written as plain values.
    """
    found, left_out = [], 0
    for path in sorted(folder.glob("test_*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for names, number, row in _parametrized(function):
                told = dict(zip(names, row, strict=False))
                others = OTHER_OPTIONS.keys() & told.keys()
                right = told.get("expected", told.get("result"))
                if (
                    not {"gold", "pred"} <= told.keys()
                    or right not in (0, 1)
                    or any(told[option] != OTHER_OPTIONS[option] for option in others)
                ):
                    left_out += 1
                    continue
                key = f"{path.stem}:{function.name}/{number}"
                verdict = _verdict(bool(right))
                found.append(Known(key, told["gold"], [told["pred"]], [verdict]))
    return found, left_out


def _parametrized(function: ast.FunctionDef) -> Iterator[tuple[list[str], int, tuple[Any, ...]]]:
    """Return names and values of what a test is parametrized with; no values if not plain."""
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
    """Return the golds of every available pool, each with the name of its file."""
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
            said = next((row[name] for name in names if row.get(name) is not None), None)
            for one in said if isinstance(said, list) else [said]:
                gold = answer_of(one)
                if gold:
                    yield path.name, gold
