"""A seeded run that never ran: tables as the stages would have written them, with real shapes.

Success rates come from a Beta distribution by difficulty, alignment from the source, gradient
norms fall with the square root of the length: what a real pool looks like, for the report's tests.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from learnalign.config import Config
from learnalign.reporting.report import ReportData
from learnalign.tables import EXCLUDED, PROBLEMS, ROLLOUTS, SCHEMA_VERSION, SCORES, VERDICTS

SOURCES = ("addition", "product", "greatest common divisor")
REASONS = ("duplicate", "near_duplicate", "contaminated", "unparsed_gold")
NO_GRADIENTS = ("random", "band", "learnability")


def synthetic_run(
    num_problems: int = 240,
    budget: int = 48,
    *,
    seed: int = 0,
    num_rollouts: int = 8,
    method: str = "learnalign",
    num_sources: int = 3,
    difficulty: bool = True,
    real_valued: bool = False,
    stability: bool = True,
    num_excluded: int = 12,
) -> ReportData:
    """Make the data of a report; every table has its schema of ``learnalign.tables``."""
    rng = np.random.default_rng(seed)
    problems = [_problem(rng, i, num_sources, difficulty) for i in range(num_problems)]
    groups = [_group(rng, problem, num_rollouts, real_valued) for problem in problems]
    rollouts = [rollout for group in groups for rollout, _ in group]
    verdicts = [verdict for group in groups for _, verdict in group]
    scores = [
        _scores(rng, problem, group, method=method, real_valued=real_valued)
        for problem, group in zip(problems, groups, strict=True)
    ]
    scores.sort(key=lambda row: -row["score"])
    for rank, row in enumerate(scores, start=1):
        row |= {"rank": rank, "selected": rank <= budget}
        if stability:
            row["stability"] = float(1 / (1 + np.exp((rank - budget) / (0.15 * budget))))
    overlap = float(np.mean([row["stability"] for row in scores[:budget]])) if stability else None
    config = _config(budget, method, seed, num_rollouts)
    return ReportData(
        title="Arithmetic for SmolLM2",
        config=config,
        manifest=_manifest(rollouts, num_problems),
        problems=pa.Table.from_pylist(problems, PROBLEMS),
        rollouts=pa.Table.from_pylist(rollouts, ROLLOUTS),
        verdicts=pa.Table.from_pylist(verdicts, VERDICTS),
        scores=pa.Table.from_pylist(scores, SCORES),
        excluded=pa.Table.from_pylist([_excluded(i) for i in range(num_excluded)], EXCLUDED),
        summary={
            "warnings": ["K = 48 does not divide into batches of 64: the last 48 rows are lost."],
            "stability": {"expected_overlap": overlap} if stability else None,
            "verifiers": {"math": num_problems - 2, "reasoning_gym": 2},
        },
    )


def _problem(
    rng: np.random.Generator, i: int, num_sources: int, difficulty: bool
) -> dict[str, Any]:
    kind, level = i % num_sources, int(rng.integers(1, 6))
    a, b = (int(value) for value in rng.integers(1, 10**level, 2))
    question = (f"What is {a} + {b}?", f"What is ${a} \\times {b}$?", f"What is gcd({a}, {b})?")
    answer = (a + b, a * b, int(np.gcd(a, b)))
    return {
        "problem_id": f"{SOURCES[kind].split()[0]}-{i:04d}",
        "position": i,
        "source_index": 0,
        "source_row": i,
        "source": SOURCES[kind],
        "difficulty": str(level) if difficulty else None,
        "messages": [{"role": "user", "content": question[kind]}],
        "answer": str(answer[kind]),
        "row": json.dumps({"question": question[kind], "answer": str(answer[kind])}),
        "prompt": f"<|im_start|>user\n{question[kind]}<|im_end|>\n<|im_start|>assistant\n",
        "prompt_ids": list(range(12)),
        "_level": level,
    }


def _group(
    rng: np.random.Generator, problem: dict[str, Any], num_rollouts: int, real_valued: bool
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    level = problem.pop("_level")
    rate = rng.beta(0.6 + 0.5 * (5 - level), 0.5 + 0.5 * level)
    long = 12.0 * level
    group = []
    for sample in range(num_rollouts):
        length = int(rng.poisson(long)) + 2
        right, truncated = bool(rng.random() < rate), length > 70
        said = problem["answer"] if right else str(int(rng.integers(1, 99)))
        steps = "So we add the parts one by one. " * (length // 8)
        key = {"problem_id": problem["problem_id"], "sample": sample}
        rollout = key | {
            "completion": f"{steps}The answer is $\\boxed{{{said}}}$.",
            "token_ids": list(range(length)),
            "logprobs": [-0.5] * length,
            "finish_reason": "length" if truncated else "stop",
            "recorded_reward": None,
        }
        kinds = ["wrong", "unparsed_answer", "timed_out"]
        kind = "correct" if right else str(rng.choice(kinds, p=[0.9, 0.09, 0.01]))
        reward = round(float(rng.normal(0.8 if right else 0.1, 0.1)), 3) if real_valued else right
        verdict = key | {
            "verdict": kind,
            "reward": float(reward),
            "extracted_answer": said if kind in ("correct", "wrong") else None,
            "parsed_answer": said if kind in ("correct", "wrong") else None,
            "detail": None,
        }
        group.append((rollout, verdict))
    return group


def _scores(
    rng: np.random.Generator,
    problem: dict[str, Any],
    group: list[tuple[dict[str, Any], dict[str, Any]]],
    *,
    method: str,
    real_valued: bool,
) -> dict[str, Any]:
    rewards = np.array([verdict["reward"] for _, verdict in group])
    lengths = np.array([len(rollout["token_ids"]) for rollout, _ in group])
    learnability = float(rewards.var())
    signal = learnability > 0
    kind = SOURCES.index(problem["source"])
    alignment = float(rng.normal((0.012, 0.006, 0.003)[kind], 0.0025)) if signal else 0.0
    norm = float(rng.lognormal(1.0, 0.3) / np.sqrt(lengths.mean())) if signal else 0.0
    score = {
        "learnalign": learnability * alignment,
        "learnability": learnability,
        "alignment": alignment,
        "band": float(0.2 <= rewards.mean() <= 0.8),
        "random": float(rng.random()),
    }[method]
    interval = None if real_valued else (rewards.mean() * 0.7, 1 - (1 - rewards.mean()) * 0.7)
    return {
        "problem_id": problem["problem_id"],
        "score": score,
        "learnability": learnability,
        "alignment": None if method in NO_GRADIENTS else alignment,
        "success_rate": float(rewards.mean()),
        "success_rate_low": interval and interval[0],
        "success_rate_high": interval and interval[1],
        "num_rollouts": len(group),
        "num_correct": sum(verdict["verdict"] == "correct" for _, verdict in group),
        "num_truncated": sum(rollout["finish_reason"] == "length" for rollout, _ in group),
        "gradient_norm": None if method in NO_GRADIENTS else norm,
        "mean_response_tokens": float(lengths.mean()),
        "stability": None,
        "source": problem["source"],
        "difficulty": problem["difficulty"],
        "position": problem["position"],
    }


def _excluded(i: int) -> dict[str, Any]:
    reason = REASONS[i % 2 if i % 5 else 3]
    return {
        "problem_id": f"gone-{i:03d}",
        "source_index": 0,
        "source_row": 1000 + i,
        "stage": "verdicts" if reason == "unparsed_gold" else "problems",
        "reason": reason,
        "detail": "the gold answer '1/0 apples'" if reason == "unparsed_gold" else "see row 7",
    }


def _config(budget: int, method: str, seed: int, num_rollouts: int) -> dict[str, Any]:
    return Config.model_validate(
        {
            "model": {"path": "models/SmolLM2-135M-Instruct"},
            "data": {"paths": ["pool.jsonl"]},
            "rollouts": {"max_tokens": 70, "num_rollouts": num_rollouts},
            "selection": {"budget": budget, "method": method},
            "run": {"out": "runs/arithmetic", "seed": seed},
        }
    ).model_dump(mode="json")


def _manifest(rollouts: list[dict[str, Any]], num_problems: int) -> dict[str, Any]:
    tokens = sum(len(rollout["token_ids"]) for rollout in rollouts)
    costs = (
        ("problems", num_problems, 1.8, 0, 61_000),
        ("rollouts", len(rollouts), 143.2, tokens, 912_000),
        ("verdicts", len(rollouts), 2.1, 0, 48_000),
        ("gradients", num_problems, 96.7, tokens // 2, 2_450_000),
        ("scores", num_problems, 1.2, 0, 17_000),
    )
    stages = {
        name: {
            "fingerprint": "0" * 64,
            "options": {},
            "complete": True,
            "facts": {},
            "shards": {
                index: {
                    "file": f"{name}/{index:06d}.parquet",
                    "rows": (rows + index) // 2,
                    "bytes": num_bytes // 2,
                    "sha256": "0" * 64,
                    "seconds": seconds / 2,
                    "tokens": (num_tokens + index) // 2,
                    "excluded": 0,
                }
                for index in range(2)
            },
        }
        for name, rows, seconds, num_tokens, num_bytes in costs
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "learnalign": "0.1.0",
        "stages": stages,
        "summary": {},
    }
