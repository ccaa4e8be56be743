"""Runs where vLLM is installed: samples what a JSON file asks for, and writes it to another."""

import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from helpers.processes import alive, wait_for
from learnalign.config import ModelConfig, RolloutConfig, VllmConfig
from learnalign.rollouts.vllm import VllmEngine


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text())
    engine = VllmEngine(
        ModelConfig(**asked["model"]),
        RolloutConfig(**asked["rollouts"]),
        VllmConfig(**asked["vllm"]),
        seed=asked["seed"],
    )
    found: dict[str, Any] = {"tables": {}, "progress": {}}
    for name, part in asked["parts"].items():
        engine.config = RolloutConfig(**asked["rollouts"] | part.get("rollouts", {}))
        table = pa.Table.from_pylist(part["problems"])
        samples = range(*part["samples"]) if "samples" in part else None
        calls: list[int] = []
        made = engine.sample(table, calls.append, samples=samples)
        found["tables"][name] = made.to_pylist()
        found["progress"][name] = sum(calls)
    children = psutil.Process().children(recursive=True)
    helpers = [one for one in children if "resource_tracker" not in " ".join(one.cmdline())]
    engine.close()
    engine.close()
    found["helpers"] = len(helpers)
    wait_for(lambda: not any(alive(one.pid) for one in helpers), 10)
    found["left"] = [one.pid for one in helpers if alive(one.pid)]
    found["failures"] = engine.failures
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
