"""What prompts say about success rates before any rollout: words against hidden states.

2,048 of 3,072 recorded problems are observed (8 rollouts each, simulated from the success rates of
Qwen2.5-Math-7B), and the rates of the other 1,024 are predicted. The hidden states are those of
SmolLM2-135M-Instruct at the prompt's end. Two kinds of models: the curriculum's (`SuccessModel`,
one observation after the other), and ridge regression, whose penalty is chosen by the error on a
fifth of what is observed. Hypotheses are in docs/results/curriculum.md.

    python benchmarks/prompt_features.py
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from curriculum_worlds import load_large_pool, signal_chance
from harness import ROOT, Figure, publish
from learnalign.curriculum.success_model import SuccessModel
from learnalign.curriculum.text_features import text_features
from vs_tables import interval

PROBLEMS, OBSERVED, GROUP, SEEDS = 3072, 2048, 8, range(8)
TOP = 256
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct"
STORE = ROOT / "runs" / "prompt_features" / "hidden.npy"
PENALTIES = tuple(10.0**k for k in range(-3, 4))

Floats = np.ndarray


def hidden_states(texts: list[str]) -> Floats:
    """Return (n, 576) hidden states, computed once."""
    if STORE.is_file():
        return np.asarray(np.load(STORE))
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from learnalign.features.forward import Forward

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16).eval()
    ids = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
        )[-1024:]
        for text in texts
    ]
    _, states = Forward(model).read(ids, [len(row) - 1 for row in ids])
    STORE.parent.mkdir(parents=True, exist_ok=True)
    np.save(STORE, states)
    return states


def projected(states: Floats, size: int) -> Floats:
    """Project the centred, standardised columns by random signs, rows of norm 1."""
    centred = (states - states.mean(axis=0)) / states.std(axis=0)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (states.shape[1], size))
    rows = centred @ signs
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def components(states: Floats, size: int) -> Floats:
    """Return the leading principal components, scaled to the same variance."""
    left, _, _ = np.linalg.svd(states - states.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, :size])


def online(features: Floats) -> Callable[[Floats, Floats, Floats], Floats]:
    """Predict by the curriculum's model."""

    def predict(seen: Floats, right: Floats, rest: Floats) -> Floats:
        model = SuccessModel(features)
        model.update(seen, right, np.full(len(seen), float(GROUP)))
        return model.predict(rest)

    return predict


def ridge(features: Floats) -> Callable[[Floats, Floats, Floats], Floats]:
    """Predict by ridge regression of the observed rates."""

    def predict(seen: Floats, right: Floats, rest: Floats) -> Floats:
        observed = right / GROUP
        fit = len(seen) * 4 // 5
        errors = [
            np.mean((_ridge(features, seen[:fit], observed[:fit], seen[fit:], penalty)
                     - observed[fit:]) ** 2)
            for penalty in PENALTIES
        ]  # fmt: skip
        best = PENALTIES[int(np.argmin(errors))]
        return np.clip(_ridge(features, seen, observed, rest, best), 0.0, 1.0)

    return predict


def _ridge(features: Floats, seen: Floats, target: Floats, rest: Floats, penalty: float) -> Floats:
    x, mean = features[seen], target.mean()
    kernel = x @ x.T
    scale = np.trace(kernel) / len(x)
    weights = np.linalg.solve(kernel + penalty * scale * np.eye(len(x)), target - mean)
    return np.asarray(mean + features[rest] @ (x.T @ weights))


def main() -> None:
    """Measure every pair of features and model."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    begin = time.monotonic()
    rates, texts = load_large_pool()
    places = np.random.default_rng(0).permutation(len(rates))[:PROBLEMS]
    rates, texts = rates[places], [texts[i] for i in places]
    states = hidden_states(texts)
    words = {size: np.asarray(text_features(texts, size=size)) for size in (64, 256, 1024)}
    features = {
        "words, 64 dimensions (default)": words[64],
        "words, 256 dimensions": words[256],
        "words, 1,024 dimensions": words[1024],
        "hidden states, 64 random projections": projected(states, 64),
        "hidden states, 64 principal components": components(states, 64),
        "hidden states, 576 standardised": projected(states, 576),
        "words and hidden states, 64 each": np.concatenate(
            [words[64], projected(states, 64)], axis=1
        ),
    }
    rows: list[dict[str, Any]] = []
    for name, matrix in features.items():
        for kind, model in (("online", online), ("ridge", ridge)):
            if kind == "online" and matrix.shape[1] > 600:
                continue  # quadratic in the dimensions, at every observation
            rows.append({"features": name, "model": kind} | measure(model(matrix), rates))
            print(rows[-1], flush=True)
    figures = {
        f"{row['features']}, {row['model']}": Figure(
            row["spearman"], "Spearman", "higher", row["spearman_half"]
        )
        for row in rows
    }
    publish("prompt_features", begin, figures, rows)


def measure(predict: Callable[[Floats, Floats, Floats], Floats], rates: Floats) -> dict[str, float]:
    """Predict the rest of several random splits."""
    found: dict[str, list[float]] = {"spearman": [], "signal": [], "signal_top": []}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(rates))
        seen, rest = order[:OBSERVED], order[OBSERVED:]
        right = rng.binomial(GROUP, rates[seen]).astype(float)
        expected, signal = predict(seen, right, rest), signal_chance(rates[rest])
        best = np.argsort(-signal_chance(expected), kind="stable")[:TOP]
        found["spearman"].append(float(stats.spearmanr(expected, rates[rest]).statistic))
        found["signal"].append(float(signal.mean()))
        found["signal_top"].append(float(signal[best].mean()))
    row: dict[str, float] = {}
    for key, values in found.items():
        row[key], low, high = interval(values)
        row[f"{key}_half"] = (high - low) / 2
    return row


if __name__ == "__main__":
    main()
