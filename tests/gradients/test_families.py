"""Two dozen families of transformers, tiny and random: the row's gradient is plain autograd's."""

from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from gradients.test_engine import slow_gradient
from helpers.tiny_models import COMMON
from learnalign.config import GradientConfig
from learnalign.gradients.engine import GradientEngine, Group

SPARSE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
BOTH = ["sliding_attention", "full_attention"]
#: Family, its own options, and whether its prompts can be shared.
FAMILIES = {
    "Llama": ({}, True),
    "Mistral": ({"sliding_window": 4}, True),
    "Qwen2": ({}, True),
    "Qwen3": ({"head_dim": 8}, True),
    "Gemma": ({"head_dim": 8}, True),
    "Gemma2": ({"head_dim": 8, "sliding_window": 4, "layer_types": BOTH}, True),  # soft caps
    "Gemma3Text": ({"head_dim": 8, "sliding_window": 4, "layer_types": BOTH}, True),
    "Phi3": ({}, True),  # fused queries, keys, values; fused gate and up
    "GPT2": ({}, True),  # Conv1D
    "GPTNeoX": ({}, True),  # fused queries, keys, values; parallel residual
    "OPT": ({"ffn_dim": 24, "word_embed_proj_dim": 16}, True),
    "Olmo2": ({}, True),
    "Granite": ({"logits_scaling": 3.0, "residual_multiplier": 0.7}, True),
    "Cohere": ({"logit_scale": 0.3}, True),
    "StableLm": ({}, True),
    "Starcoder2": ({}, True),
    "SmolLM3": ({"pad_token_id": 0}, True),
    "Glm4": ({"head_dim": 8}, True),
    "Mixtral": ({"num_local_experts": 4}, True),
    "Qwen2Moe": (
        {**SPARSE, "shared_expert_intermediate_size": 24, "decoder_sparse_step": 1},
        True,  # a shared expert behind a gate
    ),
    "Qwen3Moe": ({**SPARSE, "head_dim": 8, "decoder_sparse_step": 1}, True),
    "GptOss": (
        {"num_local_experts": 4, "head_dim": 8, "sliding_window": 4, "layer_types": BOTH},
        True,  # attention sinks
    ),
    "DeepseekV3": (
        {
            "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 8, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
            "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
            "v_head_dim": 4,
        },
        True,  # keys and values through a low-rank bottleneck
    ),
    "Bloom": ({"n_head": 4, "n_layer": 2}, False),  # ALiBi
    "Mamba": ({"state_size": 4, "time_step_rank": 4}, False),  # a recurrent state, no attention
    "Jamba": (
        {
            "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 4,
            "mamba_d_conv": 2, "mamba_dt_rank": 4, "use_mamba_kernels": False,
            "expert_layer_period": 2, "expert_layer_offset": 1,
        },
        False,
    ),
}  # fmt: skip
PROMPTS = [[5, 9, 33, 12, 7, 21, 8, 60, 3], [11, 4]]
GROUPS = [
    Group([[3, 14, 15], [9, 26, 5, 35, 8, 19], [14], [3, 14, 15]], [1.0, 0.0, 0.0, 1.0]),
    Group([[27, 18], [28, 18, 2]], [0.0, 1.0]),
]


def build(name: str) -> torch.nn.Module:
    options = {**COMMON, **FAMILIES[name][0]}
    config = getattr(transformers, f"{name}Config")(**options)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(4.0)
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_gradient_equals_plain_autograd(name: str) -> None:
    engine = GradientEngine(
        build(name),
        GradientConfig(sketch_size=64, input_width=0, token_budget=40),
        temperature=0.7,
        seed=0,
        max_tokens=10,
    )
    assert engine.gradients.shared is FAMILIES[name][1]
    plain = build(name)
    for prompt, group in zip(PROMPTS, GROUPS, strict=True):
        truth = slow_gradient(plain, prompt, group.responses, group.rewards, "grpo", "group")
        ours = engine.gradient(prompt, group)
        assert list(ours) == list(truth)
        size = sum(float(t.double().square().sum()) for t in truth.values()) ** 0.5
        error = sum(float((ours[n] - t).double().square().sum()) for n, t in truth.items()) ** 0.5
        assert size > 1e-3
        assert error < 1e-4 * size, f"relative error {error / size:.1e}"


def test_docs_list_these_families() -> None:
    page = (Path(__file__).parents[2] / "docs" / "concepts" / "gradients.md").read_text()
    for shares, line in ((True, "| shared |"), (False, "| not shared |")):
        (row,) = (text for text in page.splitlines() if text.startswith(line))
        named = {part.split(" (")[0].strip(" |") for part in row.split("|")[2].split(", ")}
        assert named == {name for name, (_, shared) in FAMILIES.items() if shared is shares}
