"""Evaluating: greedy by hand on the real model, and verdicts that others recorded."""

import gzip
import json
import re
from pathlib import Path

import pytest
import torch

from helpers import sums_run
from helpers.command_line import call
from helpers.sums_run import QUIET
from learnalign import load_config
from learnalign.config import ModelConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.terminal.progress import Progress
from learnalign.workflows.evaluate import evaluate

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded data is not here")
BENCHMARK = "reasoning-gym:chain_sum?size=12&seed=9&max_terms=2&max_digits=1"


def configure(model, out, **more):
    return sums_run.configure(model, out, **({"data__paths": ()} | more))


@pytest.mark.parametrize(
    ("name", "count"), [("sums", 12), pytest.param("smollm2", 3, marks=pytest.mark.slow)]
)
def test_greedy_is_the_models_own_argmax(name, count, request, tmp_path):
    folder = request.getfixturevalue(name)
    config = configure(folder, tmp_path / "e", rollouts__dtype="float32", data__limit=count)
    done = evaluate(config, [BENCHMARK], samples=3, progress=QUIET)
    greedy, sampled = done.results
    assert (greedy.mode, sampled.mode) == ("pass@1", "mean@3")
    assert greedy.accuracy.num_problems == count
    import pyarrow.parquet as pq

    place = tmp_path / "e" / "chain_sum" / "pass-1"
    problems = pq.read_table(place / "problems").to_pylist()
    made = {row["problem_id"]: row for row in pq.read_table(place / "rollouts").to_pylist()}
    assert len(made) == count
    model_config = ModelConfig(path=str(folder), device="cpu")
    model, tokenizer = load_model(model_config, dtype=torch.float32), load_tokenizer(model_config)
    right = 0
    for problem in problems:
        ids = torch.tensor([problem["prompt_ids"]])
        for token in made[problem["problem_id"]]["token_ids"]:
            assert int(model(input_ids=ids).logits[0, -1].argmax()) == token
            ids = torch.cat([ids, torch.tensor([[token]])], 1)
        text = tokenizer.decode(made[problem["problem_id"]]["token_ids"])
        found = re.findall(r"-?\d+", text.split("\n")[0])
        right += found[-1:] == [problem["answer"]]
    assert greedy.accuracy.mean == pytest.approx(right / count, abs=1e-9)
    tree = json.loads((tmp_path / "e" / "results.json").read_text())
    assert tree["results"][0]["accuracy"]["mean"] == greedy.accuracy.mean
    # Against itself nothing differs; and nothing is sampled again.
    again = evaluate(config, [BENCHMARK], samples=3, against=tmp_path / "e", progress=QUIET)
    assert [r.against.p_value for r in again.results] == [1.0, 1.0]
    assert again.scores.equals(done.scores)


def test_what_cannot_be_evaluated_says_so(sums, tmp_path):
    config = configure(sums, tmp_path / "e")
    with pytest.raises(LearnAlignError, match="each only once"):
        evaluate(config, [BENCHMARK, BENCHMARK], progress=QUIET)
    with pytest.raises(LearnAlignError, match="is not an evaluation"):
        evaluate(config, [BENCHMARK], against=tmp_path, progress=QUIET)
    with pytest.raises(LearnAlignError, match="nothing to measure"):
        evaluate(config, [BENCHMARK], greedy=False, progress=QUIET)


def test_what_belongs_to_selecting_does_not_stop_an_evaluation(sums, tmp_path):
    """One file of options for every verb: its budget may be larger than a benchmark."""
    config = configure(
        sums, tmp_path / "e", selection__budget=1000, selection__warmup=300, data__limit=2
    )
    (result,) = evaluate(config, [BENCHMARK], progress=QUIET).results
    assert result.accuracy.num_problems == 2
    kept = load_config(tmp_path / "e" / "chain_sum" / "pass-1" / "config.yaml")
    assert (kept.selection.budget, kept.selection.warmup) == (None, None)


@needs_shared
def test_agrees_with_recorded_verdicts_on_math(smollm2, tmp_path):
    """Qwen2.5-Math's own completions of 100 MATH problems, with its authors' verdicts."""
    rows = [json.loads(line) for line in (SHARED / "rollouts" / "qwen_math_cot_100.jsonl").open()]
    keys = rows[0].keys()
    question = "question" if "question" in keys else "problem"
    answer = "gt" if "gt" in keys else "answer"
    texts = "code" if "code" in keys else "completions"
    pool, made = tmp_path / "pool.jsonl", tmp_path / "made.jsonl"
    pool.write_text(
        "".join(
            json.dumps({"id": str(i), "problem": r[question], "answer": str(r[answer])}) + "\n"
            for i, r in enumerate(rows)
        )
    )
    made.write_text(
        "".join(
            json.dumps({"id": str(i), "completions": r[texts]}) + "\n" for i, r in enumerate(rows)
        )
    )
    config = configure(
        smollm2, tmp_path / "e", rollouts__engine="recorded", rollouts__recorded=(made,),
        verifier__kind="math", data__id_column="id", rollouts__stop=(),
        prompt__assistant_prefix=None,
    )  # fmt: skip
    done = evaluate(config, [str(pool)], samples=8, greedy=False, progress=QUIET)
    (result,) = done.results
    theirs = [sum(r["score"]) / len(r["score"]) for r in rows]
    ours = {row["problem_id"]: row["score"] for row in done.scores.to_pylist()}
    assert result.accuracy.num_problems >= 95
    different = [i for i, mean in enumerate(theirs) if str(i) in ours and ours[str(i)] != mean]
    assert len(different) <= 1
    assert result.accuracy.mean == pytest.approx(sum(theirs) / len(theirs), abs=0.02)


@needs_shared
@pytest.mark.parametrize(
    ("preset", "file"),
    [
        ("gsm8k", "gsm8k/test.jsonl"),
        ("math500", "bench/math500.jsonl"),
        ("amc23", "bench/amc23.jsonl"),
        ("aime24", "bench/aime24.jsonl"),
        ("aime25", "bench/aime25.jsonl"),
    ],
)
def test_presets_read_real_copies(smollm2, tmp_path, preset, file):
    """Each benchmark's rows are recognised and its gold answers can be read."""
    path = SHARED / file
    if not path.exists():
        found = sorted(path.parent.glob(f"{path.stem}*"))
        path = found[0]
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as lines:
        count = min(40, sum(1 for _ in lines))
    made = tmp_path / "made.jsonl"
    from learnalign.config import DataConfig
    from learnalign.problems.pool import read_pool

    pool = read_pool(DataConfig(paths=(str(path),), limit=count, keep_near_duplicates=True))
    made.write_text(
        "".join(
            json.dumps({"id": p["problem_id"], "completion": f"\\boxed{{{p['answer']}}}"}) + "\n"
            for p in pool.problems
        )
    )
    config = configure(
        smollm2, tmp_path / "e", rollouts__engine="recorded", rollouts__recorded=(made,),
        verifier__kind="auto", data__limit=count, rollouts__stop=(), prompt__assistant_prefix=None,
    )  # fmt: skip
    done = evaluate(config, [f"{preset}={path}"], progress=Progress("none"))
    (result,) = done.results
    assert (result.benchmark, result.accuracy.num_problems) == (preset, len(pool.problems))
    assert result.accuracy.mean == 1.0


def test_from_the_command_line(sums, tmp_path):
    flags = ["--assistant-prefix", sums_run.PREFIX, "--stop", "\n"]
    flags += ["--verifier", "number", "--max-tokens", "5", "--limit", "6", "--device", "cpu"]
    command = [
        "evaluate",
        str(sums),
        BENCHMARK,
        *flags,
        "--out",
        str(tmp_path / "e"),
    ]
    plan = call(*command, "--samples", "3", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "  chain_sum:\n    pass@1:\n      problems: 6\n" in plan.stdout
    assert "max_tokens: 5" in plan.stdout
    assert not (tmp_path / "e").exists()
    done = call(*command)
    assert done.returncode == 0, done.stderr
    assert "Accuracy, 95 % intervals" in done.stdout
    again = call(*command, "--against", str(tmp_path / "e"), "--json")
    (result,) = json.loads(again.stdout)["results"]
    assert result["accuracy"]["num_problems"] == 6
    assert result["against"]["better"] == result["against"]["worse"] == 0
