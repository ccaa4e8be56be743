"""Opening the page of `learnalign explore` in Chromium, at 10,000 and 100,000 problems.

Elapsed time depends on what else the machine does, so the processor time of the page's main thread
and of the whole browser are measured, too. The map is drawn by the processor (SwiftShader).
"""

import gzip
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from selenium.webdriver import Chrome

from harness import ROOT, Figure, publish
from learnalign.exploring.fields import Field
from learnalign.exploring.neighbours import Neighbours
from learnalign.exploring.packing import pack_json, pack_texts
from learnalign.exploring.page import write_file, write_folder
from learnalign.exploring.pool import (
    PROMPTS_PER_BLOCK,
    ROLLOUTS_PER_BLOCK,
    Block,
    Layout,
    Pool,
    RunView,
)
from learnalign.exploring.server import PageServer
from learnalign.workflows.explore import MAX_FILE

sys.path.insert(0, str(ROOT / "tests"))

from helpers.driver import chromium

#: Problems, how often the page is opened, and the goal for the elapsed seconds.
SIZES = ((10_000, 5, 3.0), (100_000, 3, 10.0))
SAID = "the sum of two numbers is even if both are odd so we divide and obtain an integer"
WORDS = SAID.split()
NUMBERS = (
    "success_rate",
    "learnability",
    "alignment",
    "score",
    "mean_response_tokens",
    "stability",
)

#: Notes when the page says that it is ready, and when two frames have been drawn after that.
WATCH = """
new MutationObserver(() => {
  if (!document.documentElement?.dataset.ready || window.readyAt) return;
  window.readyAt = performance.now();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.shownAt = performance.now(); }));
}).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-ready"] });
"""


def pool(count: int) -> Pool:
    """Make a pool with a run's usual fields, two maps, six rules, prompts and 8 rollouts each."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(12, 2))[rng.integers(0, 12, count)] + 0.1 * rng.normal(
        size=(count, 2)
    )
    fields = [Field(key, key, "number", rng.random(count)) for key in NUMBERS]
    groups = tuple(f"{WORDS[i]}, {WORDS[i + 1]}, {WORDS[i + 2]}" for i in range(12))
    for key, names in (("source", ("gsm8k", "math", "aime")), ("group_gradients", groups)):
        codes = rng.integers(0, len(names), count).astype(np.int32)
        fields.append(Field(key, key, "name", codes, names))
    layouts = [
        Layout(
            key,
            key,
            points.astype(np.float32),
            rng.random(count) < 0.7,
            "group_gradients",
            "a gradient",
        )
        for key, points in (("gradients-pca", places), ("text-pca", places[::-1]))
    ]
    near = rng.integers(0, count, (2, count, 5)).astype(np.int32)
    cosines = rng.random((2, count, 5)).astype(np.float32)
    run = RunView(
        name=f"{count:,} problems",
        path="runs/x",
        model="model",
        method="learnalign",
        budget=count // 10,
        fields=fields,
        layouts=layouts,
        ranks={f"rule {i}": rng.permutation(count).astype(np.int32) + 1 for i in range(6)},
        rows=np.arange(count, dtype=np.int32),
        neighbours=Neighbours(near[0], cosines[0], near[1], -cosines[1]),
        neighbours_by="gradients",
        blocks=lambda: texts(count),
    )
    return Pool("A pool", [f"problem-{i:06d}" for i in range(count)], [run], "")


def texts(count: int) -> Iterator[Block]:
    """Yield prompts and rollouts; the rollouts of one block are those of every block."""
    rng = np.random.default_rng(1)
    said = [" ".join(words) for words in rng.choice(WORDS, (ROLLOUTS_PER_BLOCK * 8, 80))]
    prompts = (f"{said[i % len(said)][:200]} {i}" for i in range(count))
    yield from pack_texts("prompts", prompts, PROMPTS_PER_BLOCK)
    attempt = {"verdict": "wrong", "reward": 0.0, "num_tokens": 99, "truncated": False}
    attempts = [attempt | {"completion": text, "parsed_answer": "7"} for text in said]
    block = pack_json(
        [
            {"answer": "7", "findings": [], "attempts": attempts[8 * i : 8 * i + 8]}
            for i in range(ROLLOUTS_PER_BLOCK)
        ]
    )
    for number in range(-(-count // ROLLOUTS_PER_BLOCK)):
        yield f"rollouts-{number}", block


def opened(browser: Chrome, address: str) -> dict[str, float]:
    """Open the page again and return seconds until it is ready and drawn, and processor seconds."""
    browser.get("about:blank")
    before = processor_s(browser.service.process.pid)
    browser.get(address)
    while not (shown := browser.execute_script("return window.shownAt")):
        time.sleep(0.2)
    after = processor_s(browser.service.process.pid)
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    main = {one["name"]: one["value"] for one in metrics}
    return {
        "ready_s": browser.execute_script("return window.readyAt") / 1000,
        "shown_s": shown / 1000,
        "main_thread_s": main["TaskDuration"],
        "browser_s": after - before,
        "load": os.getloadavg()[0],
    }


def processor_s(parent: int) -> float:
    """Return the processor seconds of a process's living descendants."""
    parents, seconds = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(path.parent.name)
        parents[number] = int(words[1])
        seconds[number] = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    family = {parent}
    while more := {child for child, one in parents.items() if one in family} - family:
        family |= more
    return sum(seconds[number] for number in family if number in seconds)


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Write a page, open it several times, and return the times and the page's size."""
    with tempfile.TemporaryDirectory() as name:
        folder, page = Path(name) / "page", Path(name) / "page.html"
        made = pool(count)
        served = not write_file(page, made, MAX_FILE)
        if served:
            write_folder(folder, made)
        size = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())
        with PageServer(folder, dict) as server, chromium(Path(name)) as browser:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
            address = server.address if served else page.as_uri()
            times = []
            for _ in range(repeats):
                browser.execute_cdp_cmd("Performance.disable", {})
                browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
                times.append(opened(browser, address))
            server.shutdown()
    head = sum(len(gzip.decompress(block)) for _, block in made.head(served))
    return {
        "problems": count,
        "form": "served folder" if served else "one file",
        "bytes": size,
        "bytes_read_at_opening": head,
        **{key: [one[key] for one in times] for key in times[0]},
    }


def main() -> None:
    """Measure both sizes."""
    begin = time.monotonic()
    rows = [measure(count, repeats) for count, repeats, _ in SIZES]
    figures: dict[str, Figure] = {}
    for row, (count, _, goal) in zip(rows, SIZES, strict=True):
        label = f"{count:,} problems"
        for key, what, aim in (
            ("shown_s", "opened", goal),
            ("main_thread_s", "processor, main thread", None),
            ("browser_s", "processor, whole browser", None),
        ):
            middle = statistics.median(row[key])
            spread = (max(row[key]) - min(row[key])) / 2
            figures[f"{what}, {label}"] = Figure(middle, "s", "lower", spread, aim)
        figures[f"load, {label}"] = Figure(statistics.median(row["load"]), "processes", "lower")
    publish("exploring", begin, figures, rows)


if __name__ == "__main__":
    main()
