"""What `audit` finds in public data: questions and golds alone, or with recorded rollouts."""

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from harness import ROOT
from learnalign.auditing.finding import Finding
from learnalign.auditing.kinds import find_all
from learnalign.auditing.problem import problems_of
from learnalign.config import DataConfig, VerifierConfig
from learnalign.problems.pool import read_pool
from learnalign.verifying.verifier import open_verifier

Row = dict[str, Any]
DATA = ROOT.parent / "shared" / "data"
_MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def read(path: Path) -> Iterator[Row]:
    """Read JSON lines, compressed or not, or Parquet."""
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
        return
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from (json.loads(line) for line in lines)


def _gsm8k(path: Path) -> Iterator[Row]:
    for index, row in enumerate(read(path)):
        answer = row["answer"].rpartition("#### ")[2]
        yield {"id": f"gsm8k-{index}", "question": row["question"], "answer": answer}


def _math(path: Path) -> Iterator[Row]:
    for row in read(path):
        yield {"id": row["id"], "question": row["problem"], "answer": row["answer"],
               "source": row["type"], "difficulty": row["level"]}  # fmt: skip


def _dapo(path: Path) -> Iterator[Row]:
    for row in read(path):
        yield {"id": row["id"], "question": row["problem"], "answer": row["answer"]}


def _asdiv(path: Path) -> Iterator[Row]:
    for row in read(path):
        question = f"{row['body']} {row['question']}"
        yield {"id": f"asdiv-{row['idx']}", "question": question, "answer": row["answer"],
               "source": row["solution_type"]}  # fmt: skip


#: Pools without rollouts: how to read each, and its file.
POOLS: dict[str, tuple[Callable[[Path], Iterator[Row]], str]] = {
    "GSM8K, train": (_gsm8k, "gsm8k/train.jsonl"),
    "MATH, train": (_math, "math/math_train.jsonl.gz"),
    "DAPO-17k": (_dapo, "dapo17k/dapo17k_dedup.jsonl.gz"),
    "ASDiv": (_asdiv, "bench/asdiv.jsonl"),
}


def audited(rows: list[Row]) -> tuple[dict[str, list[Finding]], int]:
    """Audit questions and golds without rollouts; return the findings and the pool's size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        pool = read_pool(DataConfig(paths=(str(path),), id_column="id"))
    problems = [row | {"prompt": row["messages"][-1]["content"]} for row in pool.problems]
    with open_verifier(VerifierConfig(workers=1)) as verifier:
        reasons = verifier.check_golds(problems)
    pairs = zip(problems, reasons, strict=True)
    checked = {row["problem_id"]: reason for row, reason in pairs if reason is not None}
    found = find_all(problems_of(problems, []), pool.excluded, checked)
    return found, len(problems)


def recorded() -> dict[str, tuple[list[Row], list[Row]]]:
    """Return public pools with rollouts of known rewards: problems, and rollouts."""
    pools: dict[str, tuple[list[Row], list[Row]]] = {}
    path = DATA / "rollouts" / "qwen_math_cot_100.jsonl"
    if path.is_file():
        rows = list(read(path))
        pools["MATH, Qwen2.5-Math"] = (
            [{"id": f"qwen-{row['idx']}", "question": row["question"], "answer": row["answer"],
              "source": "MATH", "difficulty": row["level"]} for row in rows],
            [{"id": f"qwen-{row['idx']}", "completion": text, "reward": float(right)}
             for row in rows for text, right in zip(row["code"], row["score"], strict=True)],
        )  # fmt: skip
    path = DATA / "gsm8k" / "example_model_solutions.jsonl"
    if path.is_file():
        rows = list(read(path))
        pools["GSM8K, four GPT-3 models"] = (
            [{"id": f"gpt3-{i}", "question": row["question"], "source": "GSM8K, test",
              "answer": row["ground_truth"].rpartition("A: ")[2]} for i, row in enumerate(rows)],
            [{"id": f"gpt3-{i}", "completion": row[model]["solution"].replace("\nA:", "\n####"),
              "reward": float(row[model]["is_correct"])}
             for i, row in enumerate(rows) for model in _MODELS],
        )  # fmt: skip
    return pools
