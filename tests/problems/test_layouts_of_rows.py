"""Each trainer's rows are read alike from every layout of files they may lie in."""

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.config import DataConfig
from learnalign.problems.pool import read_pool


def chat(n: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{n}+{n}?"}]


#: A row of each trainer's format.
FORMATS: dict[str, Any] = {
    "trl": lambda n: {"prompt": chat(n), "solution": f"{2 * n}"},
    "verl": lambda n: {
        "data_source": "sums", "prompt": chat(n), "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": f"{2 * n}"}, "extra_info": {"index": n},
    },
    "openrlhf": lambda n: {"input": f"{n}+{n}?", "label": f"{2 * n}", "datasource": "sums"},
    "open-instruct": lambda n: {
        "messages": chat(n), "ground_truth": [f"{2 * n}"], "dataset": ["math"]
    },
    "nemo-rl": lambda n: {"input": f"{n}+{n}?", "output": f"{2 * n}"},
    "nemo-rl, math": lambda n: {"problem": f"{n}+{n}?", "expected_answer": f"{2 * n}"},
    "nemo-gym": lambda n: {
        "responses_create_params": {"input": chat(n)}, "agent_ref": {"name": "mine"},
        "question": f"{n}+{n}?", "expected_answer": f"{2 * n}",
    },
    "verifiers": lambda n: {"prompt": chat(n), "answer": f"{2 * n}", "info": {"level": n}},
    "verifiers, question": lambda n: {
        "question": f"{n}+{n}?", "answer": f"{2 * n}", "info": {"level": n}
    },
    "slime": lambda n: {"prompt": chat(n), "label": f"{2 * n}", "metadata": {"rm_type": "math"}},
    "skyrl": lambda n: {
        "prompt": chat(n), "env_class": "gsm8k",
        "reward_spec": {"method": "rule", "ground_truth": f"{2 * n}"},
    },
    "areal": lambda n: {"messages": chat(n), "answer": f"{2 * n}"},
    "rllm": lambda n: {"question": f"{n}+{n}?", "ground_truth": f"{2 * n}", "id": f"t{n}"},
}  # fmt: skip
#: For each layout, a function that writes four rows to a folder and returns what to read.
LAYOUTS = [
    "jsonl", "jsonl.gz", "jsonl.bz2", "jsonl.xz", "jsonl.zst", "json", "parquet",
    "folder", "folder of gz", "folder of parquet", "splits", "configuration", "glob", "deep glob",
    "mixed", "save_to_disk", "save_to_disk of splits", "several",
]  # fmt: skip


def write(folder: Path, layout: str, rows: list[dict[str, Any]]) -> list[str]:
    def lines(path: Path, part: list[dict[str, Any]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in part).encode()
        pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
        path.write_bytes(pack.get(path.suffix, bytes)(text))
        return path

    def table(path: Path, part: list[dict[str, Any]]) -> Path:
        pq.write_table(pa.Table.from_pylist(part), path)
        return path

    if layout.startswith("jsonl"):
        return [str(lines(folder / f"rows.{layout}", rows))]
    if layout == "json":
        (folder / "rows.json").write_text(json.dumps(rows, indent=1))
        return [str(folder / "rows.json")]
    if layout == "parquet":
        return [str(table(folder / "rows.parquet", rows))]
    if layout.startswith("save_to_disk"):
        data = datasets.Dataset.from_list(rows)
        whole = datasets.DatasetDict({"train": data, "test": data.select([0])})
        (whole if "splits" in layout else data).save_to_disk(folder / "saved")
        return [str(folder / "saved")]
    if layout == "mixed":  # files of different columns, and one without rows
        lines(folder / "a.jsonl", rows[:2])
        lines(folder / "b.jsonl", [row | {"more": [1]} for row in rows[2:]])
        (folder / "c.jsonl").touch()
        return [str(folder)]
    if layout == "several":
        return [
            str(lines(folder / "a.jsonl", rows[:2])),
            str(table(folder / "b.parquet", rows[2:])),
        ]
    inner = {"splits": "train", "configuration": "main", "deep glob": "x/y"}.get(layout, ".")
    for number, row in enumerate(rows):
        name = folder / inner / f"part-{number:05d}-of-00004"
        if layout == "folder of parquet":
            table(name.with_suffix(".parquet"), [row])
        else:
            lines(name.with_suffix(".jsonl.gz" if layout == "folder of gz" else ".jsonl"), [row])
    if layout == "splits":
        lines(folder / "test" / "part.jsonl", rows[:1])
    globs = {"glob": "part-*.jsonl", "deep glob": "**/*.jsonl"}
    return [f"{folder}:main" if layout == "configuration" else f"{folder}/{globs[layout]}"
            if layout in globs else str(folder)]  # fmt: skip


def zstd(text: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_problems_from_every_layout(kind, layout, tmp_path):
    rows = [FORMATS[kind](n) for n in (2, 3, 4, 5)]
    pool = read_pool(DataConfig(paths=tuple(write(tmp_path, layout, rows))))
    found = [(problem["messages"], problem["answer"]) for problem in pool.problems]
    assert found == [(chat(n), str(2 * n)) for n in (2, 3, 4, 5)]
    assert pool.excluded == []
    kept = [json.loads(problem["row"]) for problem in pool.problems]
    assert [{name: row[name] for name in rows[0]} for row in kept] == rows
