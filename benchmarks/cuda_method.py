"""Part 6: the method on responses that show their steps, as far as the time goes.

A thin call of two scripts beside this one: `steps_model.py` teaches SmolLM2 to write its steps, and
`learnalign_vs.py --preset steps` compares methods with it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from cuda_clock import Options, Record
from harness import ROOT

HERE = Path(__file__).resolve().parent
LINES = ROOT / "benchmarks" / "results" / "learnalign_vs.steps.jsonl"
#: Seconds below which nothing is begun.
LEAST = 20.0


def measure(record: Record, options: Options) -> None:
    """Teach the model, then compare; leave out what this version does not have."""
    if not (HERE / "steps_model.py").is_file():
        record.skip("the method with steps", "this version has no benchmarks/steps_model.py")
        return
    if options.left < LEAST and not options.tiny:
        record.skip("the method with steps", f"{options.left:.0f} s are left")
        return
    teach = [f"--device={options.device}", f"--results={options.out}"]
    if options.tiny:
        teach += ["--dry-run", "--tflops=300"]
    else:
        teach += [f"--minutes={0.3 * options.left / 60:.2f}", "--batch-size=32"]
    record.attempt("steps model", partial(run, record, options, "steps_model.py", teach))
    if options.tiny:
        return
    cells = ["--preset=steps", f"--workers={max(2, (os.cpu_count() or 2) // 4)}"]
    record.attempt("cells", partial(run, record, options, "learnalign_vs.py", cells))
    record.attempt("cells done", partial(count, record, options))


def run(record: Record, options: Options, script: str, arguments: list[str]) -> None:
    """Run a script until it ends, or the time that is left for this part."""
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    try:
        said, _ = process.communicate(timeout=max(1.0, options.left - 5.0))
        ended = "done" if process.returncode == 0 else f"exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        process.terminate()
        said, _ = process.communicate()
        ended = "stopped"
    took = time.monotonic() - begin
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    record.add(
        script,
        f"{script}: {ended}, {took:.0f} s: {last.strip()}",
        value=took,
        unit="s",
        better="lower",
        ended=ended,
        said=said.splitlines()[-40:],
    )


def count(record: Record, options: Options) -> None:
    """Keep the cells that were measured, and count them."""
    if not LINES.is_file():
        record.skip("cells", "none was finished")
        return
    rows = [json.loads(line) for line in LINES.read_text(encoding="utf-8").splitlines()]
    cells = [row for row in rows if row["key"].startswith("cell:")]
    shutil.copy(LINES, options.out / "steps-cells.jsonl")
    record.add("cells", f"{len(cells)} cells, in steps-cells.jsonl", value=len(cells))
