"""Everything that is to be known about a GPU, in nine minutes: the most important first.

Six parts, each in its own process and under its own time limit; what one part leaves of its time,
the next ones have. A part writes its rows to ``PART.jsonl`` at once; when it has ended, however it
did, they become ``PART.json`` with the machine and the versions. A part that fails or is stopped
leaves what it has written, and the next one begins. The folder is ``$OUT``, or
``benchmarks/results/cuda``.
"""

import argparse
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import ROOT, Figure, publish
from machine import machine

HERE = Path(__file__).resolve().parent
#: Each part's limit in seconds, in the order in which they run.
LIMITS = {
    "right": 90.0,
    "gradients": 155.0,
    "rollouts": 115.0,
    "training": 50.0,
    "scoring": 35.0,
    "method": 85.0,
}
#: Lines of each part in the final table, which has at most `LINES`.
SHOWN = {"right": 20, "gradients": 17, "rollouts": 4, "training": 3, "scoring": 3, "method": 3}
TOTAL, MARGIN = 540.0, 8.0
LINES, COLUMNS = 60, 100


def run_part(
    part: str, given: argparse.Namespace, out: Path, limit: float
) -> tuple[str, float, list[str]]:
    """Run a part in its own process.

    Returns:
        How it ended, the seconds it took, and the last lines it printed.
    """
    command = [sys.executable, str(HERE / "cuda.py"), "--one", part, "--device", given.device]
    command += ["--shapes", given.shapes, "--out", str(out), "--seconds", f"{limit:.1f}"]
    command += ["--tiny"] if given.tiny else []
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=limit)
            ended = "done" if code == 0 else f"failed with exit code {code}"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {limit:.1f} s"
        finally:
            _end(process)
        log.seek(0)
        tail = log.read().splitlines()[-20:]
    return ended, time.monotonic() - begin, tail


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part's process with those it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a part's lines; a last line that was cut off is left out."""
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def figures_of(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    """Take the rows that are figures."""
    return {
        row["name"]: Figure(row["value"], row["unit"], row["better"], row.get("spread"))
        for row in rows
        if "better" in row and row["value"] is not None
    }


def do_part(part: str, given: argparse.Namespace, out: Path, limit: float) -> list[str]:
    """Run a part, write its JSON, and return its lines of the final table."""
    begin = time.monotonic()
    lines = out / f"{part}.jsonl"
    lines.unlink(missing_ok=True)
    ended, took, tail = run_part(part, given, out, limit)
    rows = read_rows(lines)
    status = {"name": "status", "device": given.device, "tiny": given.tiny, "ended": ended}
    status |= {"seconds": took, "limit": limit}
    status |= {} if ended == "done" else {"last_lines": tail}
    command = f"python benchmarks/cuda.py --device {given.device} --parts {part}"
    publish(
        part,
        begin,
        figures_of(rows),
        [status, *rows],
        command=command + (" --tiny" if given.tiny else ""),
        folder=out,
        show=False,
    )
    lines.unlink(missing_ok=True)
    title = f"{part}: {ended}, {took:.0f} s"
    texts = [row["text"] for row in rows if row.get("text")]
    if ended != "done":
        texts += [line.strip() for line in tail[-1:] if line.strip() and line.strip() not in texts]
    return [title, *shortened(texts, SHOWN[part], part)]


def shortened(texts: list[str], count: int, part: str) -> list[str]:
    """Indent the lines, cut them to the table's width, and leave out what is too much."""
    if len(texts) > count:
        left = len(texts) - count + 1
        texts = [*texts[: count - 1], f"({left} more in {part}.json)"]
    return [f"  {text}"[:COLUMNS] for text in texts]


def heading(device: str) -> list[str]:
    """Name the card and the software."""
    about = machine(ROOT)
    gpu = about["gpus"][0] if device == "cuda" and about["gpus"] else {}
    card = gpu.get("name") or f"no GPU: {about['processor']['model']}"
    names = [card]
    names += [f"driver {gpu['driver']}"] if "driver" in gpu else []
    names += [f"CUDA {gpu['cuda']}"] if gpu.get("cuda") else []
    names += [f"{name} {about['packages'].get(name)}" for name in ("torch", "transformers")]
    return [", ".join([*names, "bfloat16 unless stated"])[:COLUMNS]]


def limits(text: str) -> dict[str, float]:
    """Read ``part=seconds`` pairs: limits that a part has whatever others leave."""
    pairs = [pair.split("=") for pair in text.split(",") if pair]
    unknown = {name for name, _ in pairs} - set(LIMITS)
    if unknown:
        raise SystemExit(f"--limits: no such part: {', '.join(sorted(unknown))}")
    return {name: float(value) for name, value in pairs}


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, for a trial run")
    parser.add_argument("--parts", default=",".join(LIMITS))
    parser.add_argument("--shapes", default="0.5b,1.5b,7b")
    parser.add_argument("--seconds", type=float, default=TOTAL, help="for everything")
    parser.add_argument("--limits", default="", help="PART=SECONDS,...")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--one", choices=tuple(LIMITS), help="run one part in this process")
    given = parser.parse_args()
    unknown = set(given.parts.split(",")) - set(LIMITS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return given


def one(given: argparse.Namespace) -> None:
    """Run one part in this process."""
    from cuda_clock import Options, Record

    end = time.monotonic() + given.seconds
    shapes = tuple(given.shapes.split(","))
    options = Options(given.device, given.tiny, shapes, given.out, end)
    part = importlib.import_module(f"cuda_{given.one}")
    part.measure(Record(given.out / f"{given.one}.jsonl", options), options)


def main() -> None:
    """Run the parts in their order, and print the table."""
    begin = time.monotonic()
    given = parse()
    out = given.out or Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results" / "cuda")
    out.mkdir(parents=True, exist_ok=True)
    given.out = out.resolve()
    if given.one:
        one(given)
        return
    fixed, wanted = limits(given.limits), given.parts.split(",")
    table, allowed = heading(given.device), 0.0
    for part in (part for part in LIMITS if part in wanted):
        used = time.monotonic() - begin
        allowed += LIMITS[part]
        limit = min(given.seconds - MARGIN - used, fixed.get(part, allowed - used))
        if limit <= 0.0:
            table.append(f"{part}: no time left")
            continue
        found = do_part(part, given, given.out, limit)
        table += found
        print(f"-- {found[0]}", file=sys.stderr, flush=True)
        # Whatever ends this process next, the table so far is there.
        (given.out / "table.txt").write_text("\n".join(table[:LINES]) + "\n", encoding="utf-8")
    print("\n".join(table[:LINES]))


if __name__ == "__main__":
    main()
