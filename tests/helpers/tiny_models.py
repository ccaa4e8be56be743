"""Tiny random-weight models of five architectures, built from transformers' own configurations."""

import torch
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY = 61
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}

CONFIGS = {
    "llama": lambda: LlamaConfig(**COMMON),
    "qwen2": lambda: Qwen2Config(**COMMON),  # linear layers with bias
    "gpt2": lambda: GPT2Config(  # Conv1D, learned positions
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=2,
        n_head=4,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    ),
    "gemma": lambda: GemmaConfig(**COMMON, head_dim=8),  # tied embeddings
    "mixtral": lambda: MixtralConfig(  # mixture of experts
        **COMMON, num_local_experts=4, num_experts_per_tok=2, sliding_window=None
    ),
}

OTHERS = {
    # A model whose prompt cannot be shared as plain keys and values.
    "sliding": lambda: MistralConfig(**COMMON, sliding_window=4),
    "qwen3": lambda: Qwen3Config(**COMMON, head_dim=8),  # normalised queries and keys
}


def tiny_model(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.nn.Module:
    """Build a model by name, with weights large enough for gradients worth comparing."""
    config = (CONFIGS | OTHERS)[name]()
    config._experts_implementation = "eager"  # the grouped product knows no float64
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(8.0)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.tie_weights()
    if dtype == torch.float64:
        _keep_float64(model)
    return model


def _keep_float64(model: torch.nn.Module) -> None:
    """Let norms and routers compute in float64 (theirs round to float32), so 1e-9 can be asked."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            gemma = type(module).__name__ == "GemmaRMSNorm"

            def norm(x, m=module, offset=1.0 if gemma else 0.0):
                epsilon = getattr(m, "variance_epsilon", getattr(m, "eps", None))
                return (
                    x
                    * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)
                    * (m.weight + offset)
                )

            module.forward = norm
        if hasattr(module, "weight") and type(module).__name__ == "MixtralTopKRouter":

            def route(x, m=module):
                logits = x.reshape(-1, x.shape[-1]) @ m.weight.T
                values, index = logits.softmax(-1).topk(m.top_k, dim=-1)
                return logits, values / values.sum(-1, keepdim=True), index

            module.forward = route
