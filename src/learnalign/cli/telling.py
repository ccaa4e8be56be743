"""What a finished selection says on the terminal: what was chosen, why, where it lies."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learnalign.runs.pipeline import Selection


def tell(selection: Selection) -> None:
    """Print a selection in a screenful."""
    console = Console(highlight=False)
    summary = selection.summary
    ranked = selection.scores.to_pylist()
    count = summary["num_selected"]
    console.print(
        f"\n[bold]{count} of {summary['num_problems']} problems chosen[/bold] by "
        f"{summary['method']}; {summary['num_signal']} carry a signal, {summary['num_all_wrong']} "
        f"were never solved, {summary['num_all_right']} always."
    )
    steady = summary["stability"]
    if steady:
        console.print(
            f"With other rollouts about {steady['expected_overlap']:.0%} of them would be chosen "
            "again."
        )
    if len(ranked) > 1:
        console.print(_groups(ranked))
        console.print(_first(ranked))
    for warning in summary["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    out = selection.path
    console.print(
        f"\nscores    {out}/scores.parquet\nreport    {out}/report.html\n"
        f"options   {out}/config.yaml\nhand over learnalign export {out} --as trl"
        if count
        else f"\nscores    {out}/scores.parquet\nreport    {out}/report.html\n"
        f"choose    learnalign score {out} --budget K",
        soft_wrap=True,
    )


def _groups(ranked: list[dict[str, Any]]) -> Table:
    table = Table(title="What was chosen", title_justify="left")
    for name in ("source", "difficulty"):
        table.add_column(name)
    for name in ("problems", "success rate", "mean alignment", "chosen"):
        table.add_column(name, justify="right")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in ranked:
        groups.setdefault((row["source"] or "", row["difficulty"] or ""), []).append(row)
    chosen = Counter({key: sum(r["selected"] for r in rows) for key, rows in groups.items()})
    for key, _ in chosen.most_common(12):
        rows = groups[key]
        live = [r["alignment"] for r in rows if r["learnability"] > 0]
        table.add_row(
            *map(escape, key),
            str(len(rows)),
            f"{sum(r['success_rate'] for r in rows) / len(rows):.2f}",
            f"{sum(live) / len(live):.4f}" if live else "no signal",
            str(chosen[key]),
        )
    return table


def _first(ranked: list[dict[str, Any]]) -> Table:
    table = Table(title="Why: the first of the ranking", title_justify="left")
    table.add_column("problem")
    for name in ("score", "= p(1-p)", "x alignment", "p", "chosen again"):
        table.add_column(name, justify="right")
    for row in ranked[:5]:
        again = row["stability"]
        table.add_row(
            escape(row["problem_id"]),
            f"{row['score']:.5f}",
            f"{row['learnability']:.3f}",
            f"{row['alignment']:.4f}",
            f"{row['success_rate']:.2f}",
            "" if again is None else f"{again:.0%}",
        )
    return table
