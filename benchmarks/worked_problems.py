"""Problems with worked solutions, generated or GSM8K's, as prompts and responses of a model."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

import word_problems
from fine_tuning import Example
from harness import ROOT
from learnalign.config import Config
from learnalign.problems.prompts import Prompter
from learnalign.tables import PROBLEMS

Row = dict[str, Any]
#: Where GSM8K's train.jsonl and test.jsonl are looked for.
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k"
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_GOLD = re.compile(r"\n?#### *(.+?)\s*\Z")


def gsm8k_row(question: str, answer: str, name: str) -> Row:
    r"""Remove the calculator's marks from a solution, and write its last line as a sentence.

    Example:
        >>> row = gsm8k_row("How many?", "48/2 = <<48/2=24>>24 clips.\n#### 1,024", "gsm8k-0")
        >>> row["solution"], row["answer"]
        ('48/2 = 24 clips.\nThe answer is 1024.', '1024')
    """
    found = _GOLD.search(answer)
    assert found is not None, answer
    gold = found[1].replace(",", "")
    steps = _CALCULATOR.sub("", answer[: found.start()]).strip()
    return {
        "id": name,
        "question": question,
        "answer": gold,
        "solution": f"{steps}\n{word_problems.ENDING.format(answer=gold)}",
        "source": "gsm8k",
        "difficulty": f"{len(steps.splitlines())} steps",
        "noise": "none",
    }


def gsm8k(folder: Path = GSM8K) -> tuple[list[Row], list[Row]]:
    """Read GSM8K's training and test problems."""
    parts = []
    for part in ("train", "test"):
        lines = (folder / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        parts.append(
            [gsm8k_row(r["question"], r["answer"], f"{part}-{i}") for i, r in enumerate(rows)]
        )
    return parts[0], parts[1]


def generated(seed: int = 2026) -> tuple[list[Row], list[Row]]:
    """Make the problems of the preset ``steps``: those for fine-tuning and those for choosing."""
    parts = word_problems.make(seed=seed)
    return parts["train"], parts["dev"]


def examples(rows: Sequence[Row], tokenizer: Any, config: Config) -> list[Example]:
    """Tokenize prompts as `learnalign` does, and solutions with the end token.

    A solution longer than ``rollouts.max_tokens`` is left out.
    """
    prompter = Prompter(tokenizer, config.prompt)
    made = []
    for row in rows:
        response = tokenizer(row["solution"], add_special_tokens=False)["input_ids"]
        response.append(tokenizer.eos_token_id)
        if len(response) <= config.rollouts.max_tokens:
            made.append(Example(prompter(_messages(row), json.dumps(row))[1], response))
    return made


def problems_table(rows: Sequence[Row], tokenizer: Any, config: Config) -> pa.Table:
    """Return the PROBLEMS table of rows, for an engine and a verifier."""
    prompter = Prompter(tokenizer, config.prompt)
    made = []
    for place, row in enumerate(rows):
        text, ids = prompter(_messages(row), json.dumps(row))
        made.append(
            {
                "problem_id": row["id"],
                "position": place,
                "source_index": 0,
                "source_row": place,
                "source": row["source"],
                "difficulty": row["difficulty"],
                "messages": _messages(row),
                "answer": row["answer"],
                "row": json.dumps(row),
                "prompt": text,
                "prompt_ids": ids,
            }
        )
    return pa.Table.from_pylist(made, schema=PROBLEMS)


def _messages(row: Row) -> list[dict[str, Any]]:
    return [{"role": "user", "content": row["question"]}]
