"""Progress display: bars on a terminal, plain lines elsewhere, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

from learnalign.terminal.control_characters import visible
from learnalign.terminal.durations import duration, rate

Advance = Callable[[int], None]
ProgressKind = Literal["auto", "bars", "lines", "none"]
_LINE_S = 10.0
_LATE_S = 2.0


class Progress:
    """Shows each stage's progress, rate and time left on stderr."""

    def __init__(self, kind: ProgressKind = "auto") -> None:
        if kind == "auto":
            kind = "bars" if sys.stderr.isatty() else "lines"
        self.kind = kind

    def log(self, text: str) -> None:
        """Print a line, unless progress is disabled."""
        if self.kind != "none":
            print(visible(text), file=sys.stderr, flush=True)

    @contextmanager
    def late(self, name: str, total: int, unit: str = "problems") -> Iterator[Advance]:
        """Like `stage`, but show nothing for the first two seconds."""
        begin, done = time.monotonic(), 0
        shown: Advance | None = None
        with ExitStack() as stack:

            def advance(count: int) -> None:
                nonlocal done, shown
                done += count
                if shown is not None:
                    shown(count)
                elif time.monotonic() - begin >= _LATE_S:
                    shown = stack.enter_context(self.stage(name, total, done, unit))

            yield advance

    @contextmanager
    def stage(
        self, name: str, total: int, done: int = 0, unit: str = "problems"
    ) -> Iterator[Advance]:
        """Yield a function to call with the number of items just finished."""
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
        from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
        from rich.progress import Progress as Bars
        from rich.text import Text

        class Pace(ProgressColumn):
            def render(self, task: Task) -> Text:
                elapsed = task.elapsed or 0.0
                left = _left(total - int(task.completed), int(task.completed) - done, elapsed)
                return Text(f"{unit}{left}, {duration(elapsed)}")

        columns = (
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            Pace(),
        )
        with Bars(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(visible(name, multiline=False), total=total, completed=done)
            yield lambda count: bars.update(task, advance=count)

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
                left = _left(total - done - new, new, now - begin)
                self.log(f"{name}: {done + new} of {total} {unit}{left}")

        yield advance
        self.log(f"{name}: {done + new} of {total} {unit}, {duration(time.monotonic() - begin)}")


def _left(remaining: int, new: int, elapsed: float) -> str:
    """Format the rate and the estimated time left; empty before the first item is done.

    Example:
        >>> _left(56, 24, 12.0), _left(9000, 3, 180.0), _left(5, 0, 60.0)
        (', 2.0/s, about 28 s left', ', 1.0/min, about 6 d 6 h left', '')
    """
    if not new or elapsed <= 0:
        return ""
    text = f", {rate(new, elapsed)}"
    return f"{text}, about {duration(remaining * elapsed / new)} left" if remaining else text
