"""Part 6: the method on responses that show their steps, as far as the time goes.

A thin call of two scripts beside this one: `steps_model.py` teaches SmolLM2 to write its steps, and
``learnalign_vs.py --preset steps`` compares methods with it, many trainings side by side on one
card. An adapter that was taught before is used as it is.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from cuda_clock import Options, Record
from harness import ROOT

HERE = Path(__file__).resolve().parent
ADAPTER = ROOT / "runs" / "steps-model" / "adapter"
#: Seconds below which nothing is begun, and share of the time that teaching may take.
LEAST, TEACHING = 30.0, 0.3


def measure(record: Record, options: Options) -> None:
    """Teach the model, then compare; leave out what this version does not have."""
    if not (HERE / "steps_model.py").is_file():
        record.skip("the method with steps", "this version has no benchmarks/steps_model.py")
        return
    if options.tiny:
        teach, cells = arguments(options, options.out, ADAPTER)
        record.attempt("steps model", partial(understood, record, "steps_model.py", teach))
        record.attempt("cells", partial(understood, record, "learnalign_vs.py", cells))
        return
    if options.left < LEAST:
        record.skip("the method with steps", f"{options.left:.0f} s are left")
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        adapter = ADAPTER if ADAPTER.is_dir() else work / "model" / "adapter"
        teach, cells = arguments(options, work, adapter)
        if adapter != ADAPTER:
            record.attempt("steps model", partial(run, record, options, "steps_model.py", teach))
        if adapter.is_dir():
            record.attempt("cells", partial(run, record, options, "learnalign_vs.py", cells))
        record.attempt("cells that were finished", partial(keep, record, work))


def arguments(options: Options, work: Path, adapter: Path) -> tuple[list[str], list[str]]:
    """Return the arguments of both scripts."""
    teach = [f"--device={options.device}", "--batch-size=32", f"--results={work}"]
    teach += [f"--minutes={TEACHING * options.left / 60:.2f}", f"--out={work / 'model'}"]
    jobs = max(2, (os.cpu_count() or 2) // 2)
    cells = ["--preset=steps", f"--device={options.device}", f"--jobs={jobs}"]
    cells += [f"--adapter={adapter}", f"--work={work / 'vs'}"]
    return teach, cells


def understood(record: Record, script: str, given: list[str]) -> None:
    """Look whether a script has the options that it would be given."""
    command = [sys.executable, str(HERE / script), "--help"]
    said = subprocess.check_output(command, text=True, cwd=ROOT)
    unknown = [name for name in given if name.partition("=")[0] not in said]
    if unknown:
        raise ValueError(f"{script} has no {', '.join(unknown)}")
    record.add(script, f"{script}: has the options that it is given; not run with --tiny")


def run(record: Record, options: Options, script: str, arguments: list[str]) -> None:
    """Run a script until it ends, or as long as this part may take."""
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
        process.kill()
        ended, said = "stopped", ""
    took = time.monotonic() - begin
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    record.add(
        script,
        f"{script}: {ended}, {took:.0f} s: {' '.join(lines[-1:])}",
        seconds=took,
        ended=ended,
        said=lines[-40:],
    )


def keep(record: Record, work: Path) -> None:
    """Keep what the scripts have written: the figures of the model, and the rows of the cells."""
    for path in work.rglob("steps_model.json"):
        figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
        record.add("the model that was taught", figures=figures)
    rows = []
    for path in work.rglob("learnalign_vs.*.jsonl"):
        rows += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    cells = [row for row in rows if row["key"].startswith("cell:")]
    record.add("cells", f"{len(cells)} cells are in method.json", cells=cells, rows=rows)
