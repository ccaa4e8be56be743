"""SmolLM2 on a device against the CPU: rows, scores and selection, a GRPO step, rollouts."""

import copy
from typing import Any

import numpy as np
import torch

from cuda_clock import Options, Record
from cuda_policies import gathered, policy, whole
from cuda_sums import Sums
from learnalign.config import GradientConfig, RolloutConfig, TrainingConfig

#: Groups of the GRPO step.
STEP_GROUPS = 12


def rows(record: Record, options: Options, model: Any, some: Sums) -> None:
    """Compare SmolLM2's rows, scores and selection with float32 on the CPU."""
    from learnalign.scoring.scores import scores

    if len(some.groups) < 3:
        record.skip("SmolLM2's rows", f"{len(some.groups)} sums have a signal")
        return
    found = {}
    for name, device, dtype in (
        ("float32 on the CPU", "cpu", torch.float32),
        ("float32", options.device, torch.float32),
        ("bfloat16", options.device, torch.bfloat16),
    ):
        if name == "float32" and options.tiny and device == "cpu":
            continue  # the same computation again
        subject = policy(model, device, dtype, sketch_size=8192)
        found[name] = whole(subject(some.jobs))
    truth = found.pop("float32 on the CPU")
    best = scores(some.rates, truth).score
    number = max(1, len(best) // 4)
    for name, ours in found.items():
        score = scores(some.rates, ours).score
        cosine = np.vecdot(ours, truth) / np.linalg.norm(ours, axis=1)
        cosine = cosine / np.linalg.norm(truth, axis=1)
        chosen = set(np.argsort(-score)[:number]) & set(np.argsort(-best)[:number])
        rank = spearman(score, best)
        record.add(
            f"SmolLM2 in {name}: Spearman of the scores with the CPU's",
            f"SmolLM2 in {name}, {len(best)} sums with signal: cosine at least {cosine.min():.4f}, "
            f"Spearman {rank:.3f}, top {number} {len(chosen) / number:.0%}",
            value=rank,
            unit="",
            better="higher",
            least_cosine=float(cosine.min()),
            overlap=len(chosen) / number,
            finite=bool(np.isfinite(ours).all()),
        )


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of the ranks; ties get the mean of their ranks.

    Example:
        >>> round(spearman(np.array([1.0, 2.0, 2.0, 9.0]), np.array([0.0, 5.0, 6.0, 7.0])), 3)
        0.949
    """
    ranks = []
    for values in (one, other):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[place])
    return float(np.corrcoef(*ranks)[0, 1])


def step(record: Record, options: Options, model: Any, some: Sums) -> None:
    """Make one GRPO step on a few groups here and there; compare where the weights went."""
    from learnalign.training.learner import Learner

    prompts, groups = some.prompts[:STEP_GROUPS], some.groups[:STEP_GROUPS]
    objective = GradientConfig(**gathered())
    moved, norms = [], []
    for device in ("cpu", options.device):
        own = copy.deepcopy(model).to(device).requires_grad_(True)
        training = TrainingConfig(learning_rate=1e-5, kl_beta=0.0)
        learner = Learner(own, training, objective, temperature=1.0, max_tokens=8, num_steps=10)
        before = _flat(own)
        norms.append(learner.step(prompts, groups).gradient_norm)
        moved.append((_flat(own) - before).double())
        del own, learner
    gap = float((moved[1] - moved[0]).norm() / moved[0].norm())
    norm = abs(norms[1] - norms[0]) / norms[0]
    record.add(
        "GRPO step: relative difference of the weights' change",
        f"GRPO step, float32: weights' change {gap:.1e} from the CPU's, gradient norm {norm:.1e}",
        value=gap,
        unit="",
        better="lower",
        gradient_norm_difference=norm,
        finite=bool(moved[1].isfinite().all()),
    )


def _flat(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().float().cpu().flatten() for p in model.parameters()])


def rollouts(record: Record, options: Options, model: Any, tokenizer: Any, some: Sums) -> None:
    """Sample with the same seeds here and there; count the sequences that are equal."""
    tokens = 8 if options.tiny else 32
    moved = copy.deepcopy(model).to(options.device)
    ways: dict[str, dict[str, Any]] = {"": {"cuda_graphs": False}}
    if "cuda_graphs" in RolloutConfig.model_fields:
        ways[", CUDA graphs"] = {"cuda_graphs": True}
    for kind, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        truth = some.sampled(model, tokenizer, temperature, tokens)
        shares = {}
        for way, more in ways.items():
            ours = some.sampled(moved, tokenizer, temperature, tokens, **more)
            equal = float(np.mean([one == other for one, other in zip(ours, truth, strict=True)]))
            shares[f"{equal:.0%}{way}"] = equal
            record.add(
                f"rollouts, {kind}{way}: share equal to the CPU's",
                value=equal,
                unit="",
                better="higher",
            )
        said = "; ".join(shares)
        name = f"rollouts in float32, {kind}"
        record.add(name, f"{name}: share of {len(truth)} that equal the CPU's: {said}")
