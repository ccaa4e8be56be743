"""Terminal output of `verify`: verdicts by verifier, unreadable answers, and differences."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from learnalign.cli.tables import add_row, beginning, bold, end, plain_console, print_parts
from learnalign.tables import VERDICT_KINDS
from learnalign.terminal.control_characters import visible
from learnalign.terminal.durations import duration, rate
from learnalign.workflows.verify import Agreement, Judged, differing

#: Verdict names in the tables.
_HEADS = dict(
    zip(
        VERDICT_KINDS,
        ("correct", "wrong", "no answer", "unreadable gold", "timed out", "error"),
        strict=True,
    )
)
#: Examples printed per kind of completion that could not be judged.
_EXAMPLES = 3
_CELL, _END = 24, 40


def print_verdicts(done: Judged, *, against: str | None, max_differences: int) -> None:
    """Print the verdicts by verifier, examples of unreadable answers, and the differences."""
    console = plain_console()
    console.print(_by_verifier(done))
    total = len(done.rows)
    print_parts(
        console,
        f"{total:,} verdicts in {duration(done.seconds)} ({rate(total, done.seconds)})",
    )
    several = len(done.read) > 1
    for kind in ("unparsed_gold", "unparsed_answer", "timed_out", "error"):
        _print_examples(console, done, kind, several)
    if done.agreement is not None:
        _print_agreement(console, done.agreement, str(against))
        _print_differences(console, done, max_differences, several)
    if done.out is not None:
        note = " (replaces earlier verdicts)" if done.replaced else ""
        print_parts(console, f"\nverdicts  {done.out}{note}", wrap=False)


def _by_verifier(done: Judged) -> Table:
    table = Table(title="Verdicts by verifier", title_justify="left")
    table.add_column("", no_wrap=True)
    for tally in done.tallies:
        table.add_column(
            Text(visible(tally.verifier or "none", multiline=False)),
            justify="right",
            overflow="fold",
        )
    add_row(table, "problems", *(f"{tally.problems:,}" for tally in done.tallies))
    add_row(table, "completions", *(f"{tally.completions:,}" for tally in done.tallies))
    for kind, name in _HEADS.items():
        add_row(table, name, *(f"{tally.verdicts[kind]:,}" for tally in done.tallies))
    return table


def _print_examples(console: Console, done: Judged, kind: str, several: bool) -> None:
    rows = [row for row in done.rows if row["verdict"] == kind]
    if not rows:
        return
    print_parts(console, "\n", bold(f"{_HEADS[kind]}: {len(rows):,}"))
    for row in rows[:_EXAMPLES]:
        parts = [f"gold {beginning(row['gold'] or 'none', 2 * _CELL)}"]
        if kind == "unparsed_answer":
            parts.append(f"completion {end(row['end_of_completion'] or 'empty', 2 * _CELL)}")
        parts += [beginning(row["detail"], 3 * _CELL)] if row["detail"] else []
        print_parts(console, f"  {_location(row, several)}: {', '.join(parts)}", wrap=False)


def _print_agreement(console: Console, agreement: Agreement, against: str) -> None:
    counts, compared = agreement.counts, agreement.compared
    share = f" ({agreement.equal / compared:.1%})" if compared else ""
    print_parts(
        console,
        "\n",
        bold(f"{agreement.equal:,} of {compared:,} verdicts agree{share}"),
        f" with '{against}'",
    )
    if agreement.without_theirs or agreement.without_ours:
        print_parts(
            console,
            f"not compared: {agreement.without_theirs:,} without their verdict, "
            f"{agreement.without_ours:,} without ours (unreadable gold, or an error)",
        )
    table = Table()
    table.add_column("")
    for name in ("theirs correct", "theirs wrong"):
        table.add_column(name, justify="right")
    for ours, name in ((True, "ours correct"), (False, "ours wrong")):
        add_row(table, name, *(f"{counts[ours, theirs]:,}" for theirs in (True, False)))
    console.print(table)


def _print_differences(console: Console, done: Judged, max_differences: int, several: bool) -> None:
    rows = differing(done)
    if not rows or not max_differences:
        return
    shown = f", first {max_differences}" if len(rows) > max_differences else ""
    noun = "difference" if len(rows) == 1 else "differences"
    table = Table(title=f"{len(rows):,} {noun}{shown}", title_justify="left")
    table.add_column("row", no_wrap=True)
    for name in ("gold", "extracted", "parsed", "ours", "theirs", "end of completion"):
        table.add_column(name, overflow="fold")
    for row in rows[:max_differences]:
        texts = (row["gold"], row["extracted_answer"], row["parsed_answer"])
        add_row(
            table,
            _location(row, several, short=True),
            *(beginning(text or "", _CELL) for text in texts),
            _HEADS[row["verdict"]],
            "correct" if row["theirs"] else "wrong",
            end(row["end_of_completion"] or "", _END),
        )
    console.print(table)


def _location(row: Mapping[str, Any], several: bool, *, short: bool = False) -> str:
    """Return a completion's row, with its file and sample if there are several."""
    name = f"{row['row']}" if short else f"row {row['row']}"
    if row["sample"]:
        name += f"/{row['sample']}" if short else f", sample {row['sample']}"
    return f"{row['file']}, {name}" if several else name
