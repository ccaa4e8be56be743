"""A selection on code problems, from recorded programs to the report; and with a real model."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import learnalign
from helpers.command_line import call
from helpers.sandboxes import needs_sandbox
from learnalign.runs.folder import RunFolder

pytestmark = needs_sandbox

#: Each problem has an assertion that a program with `<script>` in its text fails visibly.
PROBLEMS = [
    {
        "task_id": f"t{n}",
        "text": f"Write a function add{n} that adds {n} to a number.",
        "code": f"def add{n}(x):\n    return x + {n}\n",
        "test_list": [f"assert add{n}(1) == {1 + n}", f"assert add{n}(0) == {n}"],
        "test_setup_code": "",
        "challenge_test_list": [],
    }
    for n in range(1, 7)
]
#: Its reference solution fails its own tests.
BROKEN = PROBLEMS[0] | {"task_id": "broken", "text": "Add one.", "code": "def add1(x): return x"}


def completions(n: int) -> list[str]:
    """Four completions; the first n % 4 + 1 of them pass."""
    right = f"Sure:\n```python\ndef add{n}(x):\n    return x + {n}\n```"
    wrong = f'```python\ndef add{n}(x):\n    return "<script>alert({n})</script>"\n```'
    return [right if i <= n % 4 else wrong for i in range(4)]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.scripts += tag == "script"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_recorded_programs_are_run_ranked_and_reported(sums: Path, tmp_path: Path) -> None:
    pool = _write(tmp_path / "pool.jsonl", [*PROBLEMS, BROKEN])
    recorded = _write(
        tmp_path / "recorded.jsonl",
        [
            {"prompt": problem["text"], "completion": text}
            for n, problem in enumerate(PROBLEMS, 1)
            for text in completions(n)
        ],
    )
    out = tmp_path / "run"
    selection = learnalign.select(
        str(sums),
        str(pool),
        budget=2,
        out=str(out),
        progress="none",
        options={
            "model.device": "cpu",
            "rollouts.engine": "recorded",
            "rollouts.recorded": (str(recorded),),
            "rollouts.num_rollouts": 4,
            "verifier.kind": "program",
            "verifier.workers": 2,
            "data.id_column": "task_id",
            "prompt.template": "{{ question }}",
            "gradients.sketch_size": 64,
            "gradients.num_resampled": 0,
            "selection.num_bootstrap": 10,
            "selection.method": "learnability",
        },
    )
    rates = {row["problem_id"]: row["success_rate"] for row in selection.scores.to_pylist()}
    # 2, 3, 4, 1, 2, 3 of four completions pass.
    assert rates == {"t1": 0.5, "t2": 0.75, "t3": 1.0, "t4": 0.25, "t5": 0.5, "t6": 0.75}
    assert set(selection.problem_ids) == {"t1", "t5"}
    excluded = RunFolder(out).excluded().to_pylist()
    (broken,) = [row for row in excluded if row["problem_id"] == "broken"]
    assert broken["reason"] == "rejected_gold"
    assert "assert add1(1) == 2" in broken["detail"]

    page = _Tags()
    page.feed((out / "report.html").read_text())
    assert "assert add1(1) == 2" in page.text
    assert "fails test 1 of 2" in page.text
    assert 'return "<script>alert(1)</script>"' in page.text  # shown, and no tag
    inspected = call("inspect", str(out), "t1").stdout
    assert "fails test 1 of 2" in inspected
    assert "assert add1(0) == 1" in inspected


@pytest.mark.slow
def test_a_real_model_writes_programs(smollm2: Path, tmp_path: Path) -> None:
    """SmolLM2 solves little; every rollout gets a verdict, and none is an error."""
    pool = _write(tmp_path / "pool.jsonl", PROBLEMS[:4])
    out = tmp_path / "run"
    learnalign.select(
        str(smollm2),
        str(pool),
        budget=1,
        out=str(out),
        progress="none",
        options={
            "rollouts.num_rollouts": 4,
            "rollouts.max_tokens": 96,
            "gradients.sketch_size": 256,
            "selection.method": "learnalign",
            "prompt.instruction": "Answer with one Python function in a code block.",
        },
    )
    folder = RunFolder(out)
    verdicts = [row for table in folder.shards("verdicts") for row in table.to_pylist()]
    assert len(verdicts) == 16
    assert {row["verdict"] for row in verdicts} <= {
        "correct",
        "wrong",
        "unparsed_answer",
        "timed_out",
    }
    assert folder.manifest.stages["problems"].facts["verifiers"] == {"program": 4}
    assert (out / "report.html").is_file()
