"""How far the work is: bars on a terminal, plain lines elsewhere, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Advance = Callable[[int], None]
ProgressKind = Literal["auto", "bars", "lines", "none"]
_LINE_S = 10.0


class Progress:
    """Shows each stage's progress with its rate and the time left, on the error stream."""

    def __init__(self, kind: ProgressKind = "auto") -> None:
        if kind == "auto":
            kind = "bars" if sys.stderr.isatty() else "lines"
        self.kind = kind

    def say(self, text: str) -> None:
        """Print a line, unless nothing is to be shown."""
        if self.kind != "none":
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def stage(
        self, name: str, total: int, done: int = 0, unit: str = "problems"
    ) -> Iterator[Advance]:
        """Give a function to call with the number of things just finished."""
        if self.kind == "bars":
            with self._bar(name, total, done, unit) as advance:
                yield advance
        elif self.kind == "lines":
            with self._lines(name, total, done, unit) as advance:
                yield advance
        else:
            yield lambda count: None

    @contextmanager
    def _bar(self, name: str, total: int, done: int, unit: str) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit + " {task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(name, total=total, completed=done, rate="")
            begin, new = time.monotonic(), 0

            def advance(count: int) -> None:
                nonlocal new
                new += count
                rate = new / max(1e-9, time.monotonic() - begin)
                bars.update(task, advance=count, rate=f"{rate:.1f}/s")

            yield advance

    @contextmanager
    def _lines(self, name: str, total: int, done: int, unit: str) -> Iterator[Advance]:
        begin = last = time.monotonic()
        new = 0

        def advance(count: int) -> None:
            nonlocal last, new
            new += count
            now = time.monotonic()
            if now - last >= _LINE_S:
                last = now
                rate = new / (now - begin)
                left = (total - done - new) / rate if rate else 0.0
                self.say(
                    f"{name}: {done + new} of {total} {unit}, {rate:.1f}/s, about {left:.0f} s left"
                )

        yield advance
        self.say(f"{name}: {done + new} of {total} {unit}, {time.monotonic() - begin:.1f} s")
