"""Terminal summary of an audit: how many problems of each kind, and the strongest evidence."""

from rich.table import Table

from learnalign.cli.tables import add_row, bold, plain_console, print_parts
from learnalign.terminal.commands import command_line
from learnalign.workflows.audit import Audit


def print_audit(done: Audit) -> None:
    """Print an audit and where its files are."""
    console = plain_console()
    found = done.summary
    print_parts(
        console,
        "\n",
        bold(f"{found['problems']:,} problems with {found['rollouts']:,} rollouts"),
        ": problems that a person should look at",
    )
    table = Table()
    table.add_column("kind", no_wrap=True)
    table.add_column("problems", justify="right")
    for name in ("first", "evidence"):
        table.add_column(name, overflow="fold")
    for kind in found["kinds"]:
        first = kind["top"][0] if kind["top"] else {"problem_id": "", "evidence": ""}
        add_row(table, kind["name"], f"{kind['count']:,}", first["problem_id"], first["evidence"])
    console.print(table)
    run = found["run"]
    names = [kind["name"] for kind in found["kinds"] if kind["in_pool"]]
    drop = command_line("score", run, "--drop", ",".join(names))
    without = f"\nwithout   {drop}" if names else ""
    print_parts(
        console,
        f"\npage      {done.path}/audit.html\ntable     {done.path}/findings.parquet\n"
        f"data      {done.path}/audit.json{without}",
        wrap=False,
    )
