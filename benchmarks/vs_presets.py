"""The presets of ``learnalign_vs.py``: model, pool, training; and making the files they need."""

import sys
from pathlib import Path
from typing import Any

import arithmetic
import word_problems
from harness import ROOT
from vs_cell import Preset

WORK = ROOT / "runs" / "vs"
NAMES = ("smollm2", "tiny", "one-kind", "steps", "gsm8k")
#: Of the generated pools: problems, held-out problems, problems to choose settings by.
SIZES: dict[str, Any] = {"size": 2400, "num_test": 1500, "num_dev": 400}
#: The same of one kind alone: what is left to a rule when no kind can crowd out another.
ONE_KIND: dict[str, Any] = {
    "size": 1200,
    "num_test": 800,
    "num_dev": 100,
    "kinds": ("sums of 2 digits",),
}
#: The preset ``steps`` in a minute: its figures say nothing.
TINY_SIZES = {"test": 12, "dev": 4, "pool": 24}
_TINY: dict[str, Any] = {
    "rollouts.num_rollouts": 4,
    "rollouts.max_tokens": 16,
    "rollouts.dtype": "float32",
    "gradients.sketch_size": 256,
    "gradients.num_resampled": 4,
    "gradients.dtype": "float32",
    "selection.num_bootstrap": 4,
    "training.problems_per_step": 4,
    "training.dtype": "float32",
}
_PRESETS = ROOT / "benchmarks" / "presets"


def preset(
    name: str, *, work: Path = WORK, device: str | None = None, tiny: bool = False
) -> Preset:
    """Return a preset.

    Args:
        name: One of NAMES.
        work: Folder of the presets' folders.
        device: Where models run, if not where the preset's file says.
        tiny: Make ``steps`` so small that it takes a minute.
    """
    where = {} if device is None else {"model.device": device}
    if name == "gsm8k":
        return Preset(
            name,
            ROOT / "recipes" / "gsm8k-qwen2.5-1.5b" / "select.yaml",
            where,
            work=work / name,
            test="gsm8k",
            steps=21,
            whole=156,
            warmup=300,
            num_samplings=4,
            budget=1000 / 7473,
        )
    if name == "steps":
        return _steps(work, where, tiny)
    work /= name
    small = name == "smollm2"
    return Preset(
        name,
        _PRESETS / f"{'smollm2' if small else 'tiny'}.yaml",
        {"data.paths": (str(work / "data" / "pool.jsonl"),)}
        | ({"model.path": str(work / "model")} if name == "one-kind" else {})
        | where,
        work=work,
        test=str(work / "data" / "test.jsonl"),
        steps=40,
        whole=300 if name != "one-kind" else 150,
        budget=0.1 if name != "one-kind" else 0.2,
        warmup=96,
        num_samplings=3 if small else 4,
        num_sampled=500,
    )


def _steps(work: Path, where: dict[str, Any], tiny: bool) -> Preset:
    name = "steps-tiny" if tiny else "steps"
    work /= name
    paths = {
        "data.paths": (str(work / "data" / "pool.jsonl"),),
        "model.path": str(work / "model"),
    }
    return Preset(
        name,
        _PRESETS / "steps.yaml",
        paths | (_TINY if tiny else {}) | where,
        work=work,
        test=str(work / "data" / "test.jsonl"),
        steps=2 if tiny else 40,
        whole=6 if tiny else 300,
        budget=0.25 if tiny else 0.1,
        warmup=4 if tiny else 96,
        num_samplings=1 if tiny else 3,
        samples=2 if tiny else 4,
        num_sampled=8 if tiny else 500,
    )


def prepare(which: Preset, adapter: Path) -> None:
    """Write the problems and make the model, where they are not there.

    Args:
        which: The preset.
        adapter: Of SmolLM2 for the preset ``steps``: what ``steps_model.py`` wrote.
    """
    data, model = which.work / "data", which.work / "model"
    made = (model / "tokenizer.json").is_file()
    if which.name == "steps":
        word_problems.write(data, seed=2026)
        if not made:
            _merge(adapter, model)
    elif which.name == "steps-tiny":
        # A model that has learned next to nothing: half of the rewards are coins, for a signal.
        word_problems.write(data, TINY_SIZES, coins=0.5, seed=2026)
        if not made:
            _tiny(which.work, model)
    elif which.name != "gsm8k":
        sizes = ONE_KIND if which.name == "one-kind" else SIZES
        arithmetic.write(data, **sizes, seed=2026)
        if which.name != "smollm2" and not made:
            import tiny_model

            tiny_model.make(model, data)


def _merge(adapter: Path, model: Path) -> None:
    import held_out
    import steps_model

    if not (adapter / "adapter_model.safetensors").is_file():
        sys.exit(f"{adapter} is no adapter: run `python benchmarks/steps_model.py` first")
    held_out.merge(steps_model.MODEL, adapter, model)


def _tiny(work: Path, model: Path) -> None:
    """Teach a model of random weights with SmolLM2's tokenizer for a few steps, and merge."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    import held_out
    import steps_model

    base, out = work / "base", work / "steps-model"
    tokenizer = AutoTokenizer.from_pretrained(ROOT / steps_model.MODEL)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    given = steps_model.Teaching(str(base), steps=4, num_held_out=4, learning_rate=1e-2)
    steps_model.teach(given, out, device="cpu")
    held_out.merge(str(base), out / "adapter", model)
