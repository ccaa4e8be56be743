"""A real vLLM, in an environment of its own, held against the embedded engine."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from conftest import ROOT
from helpers.processes import alive, wait_for
from learnalign.config import ModelConfig, RolloutConfig
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.rollouts.transformers import TransformersEngine

PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(
        not PYTHON.is_file(), reason="vLLM has an environment of its own: make vllm"
    ),
]
#: A processor compiles nothing, takes a gigabyte for keys and values, and has its threads' number
#: from us.
SMALL = {
    "max_model_len": 256,
    "options": {"enforce_eager": True, "kv_cache_memory_bytes": 1_000_000_000},
}
QUIET = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
STOP = ("\n",)


def sums(tokenizer: Any, count: int = 12) -> list[dict[str, Any]]:
    rows = []
    for i in range(count):
        messages = [{"role": "user", "content": f"What is {i} + {10 * i}?"}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        text += f"{i} + {10 * i} =" if i % 2 else ""
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        rows.append({"problem_id": f"p{i}", "prompt_ids": ids})
    return rows


def run_vllm(folder: Path, model: dict[str, Any], rollouts: dict[str, Any], parts: Any) -> Any:
    """Sample with a real vLLM in its own environment."""
    asked = {"model": model, "rollouts": rollouts, "vllm": SMALL, "seed": 3, "parts": parts}
    (folder / "asked.json").write_text(json.dumps(asked))
    script = ROOT / "tests" / "helpers" / "vllm_run.py"
    done = subprocess.run(
        [PYTHON, script, folder / "asked.json", folder / "found.json"],
        env=os.environ | QUIET | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads((folder / "found.json").read_text())


def forward(model: Any, prompt: list[int], ids: list[int], temperature: float) -> Any:
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits / temperature, -1)[range(len(ids)), ids].numpy()


@pytest.fixture(scope="module")
def policy(smollm2):
    config = ModelConfig(path=str(smollm2), device="cpu")
    return load_model(config, dtype=torch.float32), load_tokenizer(config)


@pytest.fixture(scope="module")
def sampled(policy, smollm2, tmp_path_factory):
    """What one engine samples at temperature 1: (problems, tables and the rest)."""
    problems = sums(policy[1])
    odd = [
        {"problem_id": "too long", "prompt_ids": [5] * 256},
        {"problem_id": "to its end", "prompt_ids": [5] * 250},
    ]
    rollouts = {"num_rollouts": 6, "max_tokens": 16, "stop": STOP, "dtype": "float32"}
    parts = {
        "whole": {"problems": problems},
        "turned": {"problems": problems[::-1][:3]},
        "first": {"problems": problems, "samples": [0, 3]},
        "last": {"problems": problems, "samples": [3, 6]},
        "greedy": {"problems": problems, "rollouts": {"temperature": 0.0, "num_rollouts": 1}},
        "nucleus": {"problems": problems[:4], "rollouts": {"top_p": 0.7}},
        "odd": {"problems": odd, "rollouts": {"stop": ()}},
    }
    folder = tmp_path_factory.mktemp("vllm")
    return problems, run_vllm(folder, {"path": str(smollm2)}, rollouts, parts)


def test_samples_of_a_real_vllm_are_what_the_table_says(policy, sampled):
    model, tokenizer = policy
    problems, found = sampled
    prompts = {row["problem_id"]: row["prompt_ids"] for row in problems}
    whole = found["tables"]["whole"]
    assert [row["problem_id"] for row in whole] == [p for p in prompts for _ in range(6)]
    assert [row["sample"] for row in whole] == list(range(6)) * len(prompts)
    reasons = set()
    for row in whole:
        ids = row["token_ids"]
        text = tokenizer.decode(ids, skip_special_tokens=True)
        ended, stopped = ids[-1] == tokenizer.eos_token_id, "\n" in text
        assert row["completion"] == text.split("\n")[0]
        assert "\n" not in tokenizer.decode(ids[:-1], skip_special_tokens=True)
        assert tokenizer.eos_token_id not in ids[:-1]
        assert row["finish_reason"] == ("stop" if ended or stopped else "length")
        assert ended or stopped or len(ids) == 16
        reasons.add("end" if ended else "string" if stopped else "length")
        expected = forward(model, prompts[row["problem_id"]], ids, 1.0)
        np.testing.assert_allclose(row["logprobs"], expected, atol=1e-3)
    assert reasons == {"end", "string", "length"}
    assert found["progress"]["whole"] == len(problems)
    for row in found["tables"]["nucleus"]:
        expected = forward(model, prompts[row["problem_id"]], row["token_ids"], 1.0)
        np.testing.assert_allclose(row["logprobs"], expected, atol=1e-3)
    (short,) = {len(row["token_ids"]) for row in found["tables"]["odd"]}
    assert short <= 6
    assert found["failures"] == [
        ["too long", "prompt_too_long", "256 tokens; vLLM's context length is 256"]
    ]


def test_samples_of_a_real_vllm_do_not_depend_on_their_company(sampled):
    tables = sampled[1]["tables"]
    whole = {(row["problem_id"], row["sample"]): row["token_ids"] for row in tables["whole"]}
    assert len({tuple(ids) for ids in whole.values()}) > len(whole) / 2
    again = tables["first"] + tables["last"] + tables["turned"]
    same = [whole[row["problem_id"], row["sample"]] == row["token_ids"] for row in again]
    assert len(same) == len(whole) + 18
    # Other batches round otherwise; a token differs only where two are all but equally near.
    assert np.mean(same) >= 0.95


def test_greedy_samples_are_those_of_the_embedded_engine(policy, sampled):
    problems, found = sampled
    config = RolloutConfig(num_rollouts=1, max_tokens=16, stop=STOP, temperature=0.0)
    ours = TransformersEngine(*policy, config, seed=3).sample(pa.Table.from_pylist(problems))
    pairs = list(zip(found["tables"]["greedy"], ours.to_pylist(), strict=True))
    same = [a["token_ids"] == b["token_ids"] for a, b in pairs]
    assert np.mean(same) >= 0.9
    for a, b in pairs:
        if a["token_ids"] == b["token_ids"]:
            assert (a["completion"], a["finish_reason"]) == (b["completion"], b["finish_reason"])
            np.testing.assert_allclose(a["logprobs"], b["logprobs"], atol=1e-3)


def test_a_closed_engine_leaves_no_process(sampled):
    assert sampled[1]["helpers"] >= 2  # vLLM's and the watch
    assert sampled[1]["left"] == []


def test_an_adapter_and_a_temperature(policy, smollm2, tmp_path):
    peft = pytest.importorskip("peft")
    tokenizer = policy[1]
    torch.manual_seed(0)
    adapter = peft.LoraConfig(r=12, lora_alpha=12, target_modules="all-linear")
    base = load_model(ModelConfig(path=str(smollm2), device="cpu"), dtype=torch.float32)
    changed = peft.get_peft_model(base, adapter)
    for name, weight in changed.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    changed.save_pretrained(str(tmp_path / "adapter"))
    problems = sums(tokenizer)
    table = pa.Table.from_pylist(problems)
    prompts = {row["problem_id"]: row["prompt_ids"] for row in problems}
    rollouts = {"num_rollouts": 2, "max_tokens": 12, "temperature": 0.7, "dtype": "float32"}
    parts = {
        "warm": {"problems": problems},
        "greedy": {"problems": problems, "rollouts": {"temperature": 0.0, "num_rollouts": 1}},
    }
    config = {"path": str(smollm2), "adapter": str(tmp_path / "adapter")}
    found = run_vllm(tmp_path, config, rollouts, parts)["tables"]
    greedy = RolloutConfig(num_rollouts=1, max_tokens=12, temperature=0.0)
    with_it, without = (
        TransformersEngine(one, tokenizer, greedy, seed=0).sample(table)["token_ids"].to_pylist()
        for one in (changed, policy[0])
    )
    ours = [row["token_ids"] for row in found["greedy"]]
    assert np.mean([a == b for a, b in zip(ours, with_it, strict=True)]) >= 0.9
    assert np.mean([a == b for a, b in zip(ours, without, strict=True)]) <= 0.5
    for row in found["warm"]:
        expected = forward(changed, prompts[row["problem_id"]], row["token_ids"], 0.7)
        np.testing.assert_allclose(row["logprobs"], expected, atol=1e-3)


def test_the_whole_way_killed_and_resumed_equals_undisturbed(smollm2, tmp_path):
    psutil = pytest.importorskip("psutil")
    data = tmp_path / "pool.jsonl"
    rows = [{"prompt": f"What is {i} + {i + 3}?", "answer": str(2 * i + 3)} for i in range(8)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--num-rollouts", "4", "--max-tokens", "40", "--budget", "2", "--verifier", "number"]
    flags += ["--shard-size", "2", "--sketch-size", "64", "--num-bootstrap", "10"]
    flags += ["--set", "rollouts.engine=vllm", "--set", "rollouts.dtype=float32"]
    flags += ["--set", "vllm.max_model_len=256", "--set", "vllm.options.enforce_eager=true"]
    flags += ["--set", "vllm.options.kv_cache_memory_bytes=1000000000"]

    def start(out: Path) -> subprocess.Popen[str]:
        program = [PYTHON.with_name("learnalign"), "select", smollm2, data, *flags, "--out", out]
        with (tmp_path / f"{out.name}.log").open("a") as log:
            return subprocess.Popen(
                program, env=os.environ | QUIET, stdout=log, stderr=log, text=True
            )

    killed = start(tmp_path / "killed")
    first = tmp_path / "killed" / "rollouts" / "part-00000.parquet"
    assert wait_for(lambda: first.is_file() or killed.poll() is not None, 400)
    helpers = psutil.Process(killed.pid).children(recursive=True)
    assert any("VLLM" in one.name() or "VLLM" in str(one.cmdline()) for one in helpers)
    killed.kill()
    killed.wait()
    assert wait_for(lambda: not any(alive(one.pid) for one in helpers), 60)
    kept = first.stat().st_mtime_ns
    for out in ("killed", "undisturbed"):
        run = start(tmp_path / out)
        assert run.wait(1200) == 0, (tmp_path / f"{out}.log").read_text()[-3000:]
    assert first.stat().st_mtime_ns == kept
    for stage in ("rollouts", "verdicts", "gradients"):
        a, b = (
            pa.concat_tables(map(pq.read_table, sorted((tmp_path / out / stage).glob("*.parquet"))))
            for out in ("killed", "undisturbed")
        )
        assert a.num_rows == {"gradients": 8}.get(stage, 32)
        assert a == b, stage
