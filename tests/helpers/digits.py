"""A whole small run in a second: a tiny model of digits, with its tokenizer, and sums to solve."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

ALPHABET = "0123456789+="
SPECIAL = ("<pad>", "<eos>", "<unk>")

#: Options of a run on it, small enough for a test.
OPTIONS: dict[str, Any] = {
    "prompt.template": "{{ question }}",
    "rollouts.num_rollouts": 8,
    "rollouts.max_tokens": 1,
    "gradients.sketch_size": 64,
    "gradients.num_resampled": 2,
    "selection.method": "learnalign",
    "selection.num_bootstrap": 10,
    "verifier.kind": "number",
    "verifier.workers": 1,
    "run.shard_size": 3,
    "model.device": "cpu",
}


def digits_folder(folder: Path, count: int) -> Path:
    """Write a model and its data: ``model`` and ``pool.jsonl``."""
    digits_model(folder / "model")
    digits_data(folder / "pool.jsonl", count)
    return folder


def digits_model(folder: Path) -> Path:
    """Write a random model that says digits, each about as often."""
    names = [*SPECIAL, *ALPHABET]
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(names),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def digits_data(path: Path, count: int = 12) -> Path:
    """Write sums whose answer is one digit."""
    pairs = [(a, b) for a in range(10) for b in range(10 - a)][:count]
    rows = [{"id": f"{a}+{b}", "question": f"{a}+{b}=", "answer": str(a + b)} for a, b in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
