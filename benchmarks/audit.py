"""Does `learnalign audit` find planted faults, and what does it find in public data?

Three parts: word problems with planted faults of each kind and simulated rollouts, six pools
(`audit_pools`); SmolLM2's own rollouts on arithmetic of which some golds are wrong and some
rewards are coins; public data with and without recorded rollouts (`audit_data`). What is done is
kept in ``runs/audit``.

    python benchmarks/audit.py --parts planted,smollm2,public
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import arithmetic
import audit_data
import audit_pools
from curriculum_pools import _guess
from harness import ROOT, Figure, Lines, publish
from learnalign import load_config, run
from learnalign.auditing.kinds import KINDS
from learnalign.config import Config
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Progress
from learnalign.workflows.audit import run_audit

Row = dict[str, Any]
WORK = ROOT / "runs" / "audit"
SIZE, SEEDS, FIRST = 2400, 3, 50
SMOLLM2 = str(ROOT / "models" / "SmolLM2-135M-Instruct")
SMOLLM2_SIZE, SMOLLM2_GUESSES = 480, 60


def write(path: Path, rows: Iterable[Row]) -> str:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def select(folder: Path, pool: Sequence[Row], rollouts: Sequence[Row], **more: Any) -> Config:
    """Select from a pool, with rollouts that exist or are sampled; return the run's options."""
    recorded = (write(folder / "rollouts.jsonl", rollouts),) if rollouts else ()
    config = load_config(overrides={
        "model.path": SMOLLM2, "model.device": "cpu",
        "data.paths": (write(folder / "pool.jsonl", pool),), "data.id_column": "id",
        "data.keep_near_duplicates": True,
        "rollouts.engine": "recorded" if recorded else "transformers",
        "rollouts.recorded": recorded, "rollouts.num_rollouts": 8,
        "verifier.workers": 1, "selection.method": "learnability", "selection.num_bootstrap": 0,
        "run.out": str(folder / "run"), "run.shard_size": 512,
        **{key.replace("__", "."): value for key, value in more.items()},
    })  # fmt: skip
    run(config, progress=Progress("lines"))
    return config


def graded(findings: Sequence[Row], truth: dict[str, set[str]], size: int) -> list[Row]:
    """Return precision among the first and recall for each kind of planted fault."""
    rows = []
    for kind in KINDS:
        listed = [row for row in findings if row["kind"] == kind.name]
        planted = truth.get(kind.name, set())
        right = [row["problem_id"] in planted for row in listed]
        rows.append({
            "kind": kind.name, "planted": len(planted), "listed": len(listed), "size": size,
            "precision_at_50": float(np.mean(right[:FIRST])) if right else None,
            "precision": float(np.mean(right)) if right else None,
            "recall": sum(right) / len(planted) if planted else None,
            "mean_score": float(np.mean([row["score"] for row in listed])) if listed else None,
        })  # fmt: skip
    return rows


def agreement_alone(folder: RunFolder, wrong: set[str]) -> float:
    """Return the precision at 50 of the plain rule: never solved, most rollouts agree."""
    counts: dict[str, list[str]] = {}
    solved: set[str] = set()
    for row in folder.table("rollouts").to_pylist():
        counts.setdefault(row["problem_id"], []).append(row["completion"])
        if row["recorded_reward"]:
            solved.add(row["problem_id"])
    share = {
        name: max(texts.count(text) for text in set(texts)) / len(texts)
        for name, texts in counts.items()
        if name not in solved
    }
    first = sorted(share, key=lambda name: (-share[name], name))[:FIRST]
    return float(np.mean([name in wrong for name in first]))


def planted(lines: Lines) -> None:
    """Audit the pools with planted faults."""
    for model in audit_pools.MODELS:
        for seed in range(SEEDS):
            if lines.has(part="planted", model=model, seed=seed):
                continue
            folder = WORK / f"{model}-{seed}"
            pool = audit_pools.make(SIZE, model, seed)
            config = select(folder, pool.rows, pool.rollouts)
            begin = time.monotonic()
            found = run_audit(config, progress=Progress("lines")).findings.to_pylist()
            seconds = time.monotonic() - begin
            about = {"part": "planted", "model": model, "seed": seed}
            for row in graded(found, pool.truth, len(pool.rows)):
                lines.add(about | row)
            plain = agreement_alone(RunFolder(folder / "run"), pool.wrong)
            lines.add(about | {"kind": "agreement alone", "precision_at_50": plain,
                               "audit_seconds": round(seconds, 1)})  # fmt: skip


def smollm2(lines: Lines) -> None:
    """Audit SmolLM2's own rollouts on arithmetic with noise, and on questions it must guess."""
    if lines.has(part="smollm2"):
        return
    folder, rng = WORK / "smollm2", random.Random(0)
    sizes = {"size": SMOLLM2_SIZE, "num_test": 0, "num_dev": 0}
    arithmetic.write(folder / "data", **sizes, mislabelled=0.1, coins=0.1, seed=5)
    rows = [json.loads(line) for line in (folder / "data" / "pool.jsonl").open()]
    for index in range(SMOLLM2_GUESSES):
        question, answer = _guess(rng)
        rows.append({"id": f"guess-{index}", "question": question, "answer": str(answer),
                     "source": "guesses", "noise": "guess"})  # fmt: skip
    rng.shuffle(rows)
    config = select(
        folder, rows, [], prompt__template=arithmetic.TEMPLATE, rollouts__max_tokens=6,
        rollouts__stop=arithmetic.STOP, verifier__kind="arithmetic:reward",
    )  # fmt: skip
    found = run_audit(config, progress=Progress("lines")).findings.to_pylist()
    kinds = {"mislabelled": "wrong-gold", "coin": "unfollowed-reward", "guess": "guessable"}
    truth = {
        kind: {row["id"] for row in rows if row["noise"] == noise} for noise, kind in kinds.items()
    }
    for row in graded(found, truth, len(rows)):
        lines.add({"part": "smollm2"} | row)
    for row in found:
        if row["rank"] <= 3:
            lines.add({"part": "smollm2", "example": row["kind"], "problem_id": row["problem_id"],
                       "score": row["score"], "evidence": row["evidence"]})  # fmt: skip


def public(lines: Lines) -> None:
    """Audit public data."""
    for name, (read, file) in audit_data.POOLS.items():
        path = audit_data.DATA / file
        if lines.has(part="public", data=name) or not path.is_file():
            continue
        begin = time.monotonic()
        found, size = audit_data.audited(list(read(path)))
        seconds = round(time.monotonic() - begin, 1)
        for kind, listed in found.items():
            first = [{"problem_id": f.problem_id, "score": f.score, "evidence": f.evidence[:200]}
                     for f in listed[:20]]  # fmt: skip
            lines.add({"part": "public", "data": name, "problems": size, "kind": kind,
                       "listed": len(listed), "seconds": seconds, "first": first})  # fmt: skip
    for name, (pool, rollouts) in audit_data.recorded().items():
        if lines.has(part="public", data=name):
            continue
        folder = WORK / name.replace(" ", "-").replace(",", "").lower()
        done = run_audit(select(folder, pool, rollouts, rollouts__max_tokens=4096),
                         progress=Progress("lines"))  # fmt: skip
        found = done.findings.to_pylist()
        for kind in done.summary["kinds"]:
            first = [
                {name: row[name] for name in ("problem_id", "score", "evidence")}
                for row in found
                if row["kind"] == kind["name"] and row["rank"] <= 20
            ]
            lines.add({"part": "public", "data": name, "problems": done.summary["problems"],
                       "kind": kind["name"], "listed": kind["count"], "first": first})  # fmt: skip


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Average precision at 50 and recall over the seeds."""
    found = {}
    for model in audit_pools.MODELS:
        for kind in [*(kind.name for kind in KINDS), "agreement alone"]:
            of = [r for r in rows if r.get("model") == model and r.get("kind") == kind]
            for value in ("precision_at_50", "recall"):
                numbers = [r[value] for r in of if r.get(value) is not None]
                if numbers:
                    name = f"{model}: {kind}, {value.replace('_', ' ')}"
                    spread = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
                    found[name] = Figure(float(np.mean(numbers)), "share", "higher", spread)
    for row in rows:
        if row["part"] == "smollm2" and row.get("precision_at_50") is not None:
            for value in ("precision_at_50", "recall"):
                if row[value] is not None:
                    name = f"SmolLM2: {row['kind']}, {value.replace('_', ' ')}"
                    found[name] = Figure(row[value], "share", "higher")
    return found


def main() -> None:
    """Run the parts that are missing, and publish all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="planted,smollm2,public")
    given, begin = parser.parse_args(), time.monotonic()
    lines = Lines(WORK / "rows.jsonl")
    parts = {"planted": planted, "smollm2": smollm2, "public": public}
    for name in given.parts.split(","):
        if name not in parts:
            sys.exit(f"got the part {name}\n  expected: some of {', '.join(parts)}")
        parts[name](lines)
    publish("audit", begin, figures(lines.rows), lines.rows)


if __name__ == "__main__":
    main()
