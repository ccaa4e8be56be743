"""What `verify` says on the terminal: who judged what, what could not be read, who differs."""

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

#: How a table calls the verdicts.
_HEADS = dict(
    zip(
        VERDICT_KINDS,
        ("correct", "wrong", "no answer", "gold not read", "timed out", "error"),
        strict=True,
    )
)
#: What could not be judged is shown by so many examples of a kind.
_EXAMPLES = 3
_CELL, _END = 24, 40


def print_verdicts(done: Judged, *, against: str | None, most: int) -> None:
    """Print the verdicts by verifier, examples of what could not be read, and the differences."""
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
        _print_differences(console, done, most, several)
    if done.out is not None:
        note = " (in the place of earlier verdicts)" if done.replaced else ""
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
    found = [row for row in done.rows if row["verdict"] == kind]
    if not found:
        return
    print_parts(console, "\n", bold(f"{_HEADS[kind]}: {len(found):,}"))
    for row in found[:_EXAMPLES]:
        told = [f"gold {beginning(row['gold'] or 'none', 2 * _CELL)}"]
        if kind == "unparsed_answer":
            told.append(f"completion {end(row['end_of_completion'] or 'empty', 2 * _CELL)}")
        told += [beginning(row["detail"], 3 * _CELL)] if row["detail"] else []
        print_parts(console, f"  {_where(row, several)}: {', '.join(told)}", wrap=False)


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
            f"left out: {agreement.without_theirs:,} without a verdict of theirs, "
            f"{agreement.without_ours:,} where we have none (gold not read, or an error)",
        )
    table = Table()
    table.add_column("")
    for name in ("theirs correct", "theirs wrong"):
        table.add_column(name, justify="right")
    for ours, name in ((True, "ours correct"), (False, "ours wrong")):
        add_row(table, name, *(f"{counts[ours, theirs]:,}" for theirs in (True, False)))
    console.print(table)


def _print_differences(console: Console, done: Judged, most: int, several: bool) -> None:
    found = differing(done)
    if not found or not most:
        return
    shown = f", the first {most} of them" if len(found) > most else ""
    what = "difference" if len(found) == 1 else "differences"
    table = Table(title=f"{len(found):,} {what}{shown}", title_justify="left")
    table.add_column("row", no_wrap=True)
    for name in ("gold", "taken", "parsed", "ours", "theirs", "end of completion"):
        table.add_column(name, overflow="fold")
    for row in found[:most]:
        texts = (row["gold"], row["extracted_answer"], row["parsed_answer"])
        add_row(
            table,
            _where(row, several, short=True),
            *(beginning(text or "", _CELL) for text in texts),
            _HEADS[row["verdict"]],
            "correct" if row["theirs"] else "wrong",
            end(row["end_of_completion"] or "", _END),
        )
    console.print(table)


def _where(row: Mapping[str, Any], several: bool, *, short: bool = False) -> str:
    """Name a completion: its row, with the file and the sample where there are several."""
    name = f"{row['row']}" if short else f"row {row['row']}"
    if row["sample"]:
        name += f"/{row['sample']}" if short else f", sample {row['sample']}"
    return f"{row['file']}, {name}" if several else name
