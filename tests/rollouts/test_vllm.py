"""The engine vllm with a stand-in for vLLM: seeds, arguments, rows, and what is set aside."""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from learnalign.config import Config, ModelConfig, RolloutConfig, VllmConfig
from learnalign.errors import LearnAlignError
from learnalign.pipeline.order import stage_options
from learnalign.rollouts.vllm import VllmEngine, first_seed, rollout_rows
from learnalign.rollouts.vllm_options import llm_arguments


class FakeLLM:
    """Answers as vLLM's LLM does; a seed is a sample's only token."""

    def __init__(self, **arguments: Any) -> None:
        if arguments["dtype"] == "float16":
            raise RuntimeError("Engine core initialization failed.\nmore")
        self.asked: list[tuple[Any, Any]] = []
        self.closed = 0
        self.llm_engine = self
        self.engine_core = self
        self.model_config = SimpleNamespace(max_model_len=arguments.get("max_model_len", 100))

    def enqueue(self, prompts: Any, parameters: Any, **_: Any) -> list[str]:
        self.asked = list(zip(prompts, parameters, strict=True))
        return [str(number) for number in range(len(prompts))]

    def has_unfinished_requests(self) -> bool:
        return bool(self.asked)

    def step(self) -> list[Any]:
        number = len(self.asked) - 1  # the last one is finished first
        prompt, asked = self.asked.pop()
        sick = prompt["prompt_token_ids"] == [13]
        completions = [
            SimpleNamespace(
                text="x",
                token_ids=[asked.seed % 1000 + n],
                logprobs=[
                    {asked.seed % 1000 + n: SimpleNamespace(logprob=float("nan") if sick else -1.0)}
                ],
                finish_reason="length" if asked.max_tokens == 1 else "stop",
            )
            for n in range(asked.n)
        ]
        return [SimpleNamespace(request_id=str(number), outputs=completions)]

    def shutdown(self) -> None:
        self.closed += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm, requests = ModuleType("vllm"), ModuleType("vllm.lora.request")
    vllm.LLM, vllm.SamplingParams = FakeLLM, SimpleNamespace  # type: ignore[attr-defined]
    requests.LoRARequest = SimpleNamespace  # type: ignore[attr-defined]
    for name in ("VLLM_LOGGING_LEVEL", "VLLM_LOGGING_STREAM", "VLLM_NO_USAGE_STATS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.lora", ModuleType("vllm.lora"))
    monkeypatch.setitem(sys.modules, "vllm.lora.request", requests)


def engine(smollm2: Path, seed: int = 7, **options: Any) -> VllmEngine:
    model = ModelConfig(path=str(smollm2), device="cpu")
    config = RolloutConfig(**{"num_rollouts": 4, "max_tokens": 8} | options)
    return VllmEngine(model, config, VllmConfig(max_model_len=20), seed=seed)


def pool(**prompts: list[int]) -> pa.Table:
    return pa.Table.from_pylist([{"problem_id": k, "prompt_ids": v} for k, v in prompts.items()])


@pytest.mark.usefixtures("fake")
def test_a_sample_is_the_same_whichever_are_asked_for_with_it(smollm2):
    problems = pool(a=[1], b=[1, 2], c=[3])
    whole = engine(smollm2).sample(problems)
    assert whole["problem_id"].to_pylist() == [name for name in "abc" for _ in range(4)]
    assert whole["sample"].to_pylist() == [0, 1, 2, 3] * 3
    some = engine(smollm2).sample(problems.take(pa.array([2, 0])), samples=range(1, 3))
    by_key = {(r["problem_id"], r["sample"]): r for r in whole.to_pylist()}
    assert [(r["problem_id"], r["sample"]) for r in some.to_pylist()] == [
        ("c", 1), ("c", 2), ("a", 1), ("a", 2),
    ]  # fmt: skip
    assert all(by_key[r["problem_id"], r["sample"]] == r for r in some.to_pylist())
    other = engine(smollm2, seed=8).sample(problems)
    assert other["token_ids"] != whole["token_ids"]


@pytest.mark.usefixtures("fake")
def test_what_cannot_be_sampled_is_set_aside(smollm2):
    one, seen = engine(smollm2), []
    rows = one.sample(pool(long=[1] * 20, sick=[13], full=[1] * 19, well=[1]), seen.append)
    assert rows["problem_id"].to_pylist() == ["full"] * 4 + ["well"] * 4
    assert rows["finish_reason"].to_pylist() == ["length"] * 4 + ["stop"] * 4
    assert one.failures == [
        ("long", "prompt_too_long", "20 tokens; vLLM's context length is 20"),
        ("sick", "nonfinite_logits", "the model's logits contain NaN or Inf"),
    ]
    assert sum(seen) == 4
    inner = one._llm
    one.close()
    one.close()
    assert inner.closed == 1
    assert engine(smollm2).sample(pool(long=[1] * 20)).num_rows == 0


@pytest.mark.usefixtures("fake")
def test_a_greedy_sample_stands_for_all(smollm2):
    rows = engine(smollm2, temperature=0.0).sample(pool(a=[1])).to_pylist()
    assert [row["sample"] for row in rows] == [0, 1, 2, 3]
    assert len({tuple(row["token_ids"]) for row in rows}) == 1


@pytest.mark.usefixtures("fake")
def test_what_vllm_cannot_open_says_what_to_do(smollm2, tmp_path):
    with pytest.raises(LearnAlignError, match=r"cannot open .* Engine core initialization failed"):
        engine(smollm2, dtype="float16")
    config = RolloutConfig()
    with pytest.raises(LearnAlignError, match="check the path"):
        VllmEngine(ModelConfig(path="./none"), config, VllmConfig(), seed=0)
    with pytest.raises(LearnAlignError, match="not a LoRA adapter"):
        llm_arguments(ModelConfig(path="m", adapter=tmp_path), config, VllmConfig(), seed=0)


def test_without_the_package(monkeypatch, smollm2):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(LearnAlignError, match=r"pip install 'learnalign\[vllm\]'"):
        engine(smollm2)


def test_seeds_are_far_apart():
    seeds = np.array([first_seed(s, f"p{i}") for s in range(3) for i in range(3000)])
    assert len(set(seeds.tolist())) == 9000
    assert int(np.diff(np.sort(seeds)).min()) > 1024
    assert int(seeds.min()) >= 0
    assert int(seeds.max()) < 2**56


def test_arguments(tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    (tmp_path / "adapter_config.json").write_text('{"r": 12, "rank_pattern": {"q_proj": 33}}')
    model = ModelConfig(path="hub/name", revision="v2", adapter=tmp_path)
    config = RolloutConfig(temperature=0.7, dtype="bfloat16")
    options = VllmConfig(tensor_parallel_size=2, options={"max_lora_rank": 256, "swap_space": 1})
    found = llm_arguments(model, config, options, seed=-1)
    wanted = {
        "model": "hub/name",
        "revision": "v2",
        "tokenizer_revision": "v2",
        "trust_remote_code": False,
        "load_format": "safetensors",
        "dtype": "bfloat16",
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.9,
        "logprobs_mode": "processed_logprobs",
        "enable_lora": True,
        "max_lora_rank": 256,
        "swap_space": 1,
    }
    assert wanted.items() <= found.items()
    assert "max_model_len" not in found
    assert llm_arguments(model, config, VllmConfig(), seed=0)["max_lora_rank"] == 64


def test_rows_without_logprobs():
    one = SimpleNamespace(text="t", token_ids=[5], logprobs=None, finish_reason="stop")
    (row,) = rollout_rows("p", range(3, 4), [one])
    assert row["logprobs"] is None
    assert row["sample"] == 3


def test_what_a_run_depends_on():
    def options(**changes):
        config = Config(rollouts=RolloutConfig(engine="vllm"), vllm=VllmConfig(**changes))
        return stage_options(config, ["rollouts"])["rollouts"]

    plain = options()
    assert plain == options(tensor_parallel_size=4, gpu_memory_utilization=0.5)
    assert plain != options(max_model_len=512)
    assert plain != options(options={"quantization": "fp8"})
    assert not any(
        key.startswith("vllm") for key in stage_options(Config(), ["rollouts"])["rollouts"]
    )
