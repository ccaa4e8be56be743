"""What a finished selection says on the terminal: what was chosen, why, where it lies."""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from learnalign.cli.tables import add_row as _row
from learnalign.cli.tables import bold as _bold
from learnalign.cli.tables import plain_console as _console
from learnalign.cli.tables import print_parts as _print
from learnalign.terminal.durations import duration
from learnalign.workflows.compare import Comparison
from learnalign.workflows.evaluate import Evaluation
from learnalign.workflows.select import Selection
from learnalign.workflows.staged import Stage
from learnalign.workflows.train import Training


def print_selection(selection: Selection) -> None:
    """Print a selection in a screenful."""
    console = _console()
    summary = selection.summary
    ranked = selection.scores.to_pylist()
    count = summary["num_selected"]
    _print(
        console,
        "\n",
        _bold(f"{count} of {summary['num_problems']} problems chosen"),
        f" by {summary['method']}; {summary['num_signal']} carry a signal, "
        f"{summary['num_all_wrong']} were never solved, {summary['num_all_right']} always.",
    )
    spent = summary.get("spending")
    if spent:
        _print(
            console,
            f"{spent['rollouts']:,} rollouts instead of {spent['full_budget']:,} "
            f"({spent['rollouts'] / spent['full_budget']:.0%}); all of them would be expected to "
            f"change {spent['expected_loss']:.1%} of the choice.",
        )
    steady = summary["stability"]
    if steady:
        _print(
            console,
            f"With other rollouts about {steady['expected_overlap']:.0%} of them would be chosen "
            "again.",
        )
    if len(ranked) > 1:
        console.print(_groups(ranked))
        console.print(_first(ranked, summary["method"]))
    for warning in summary["warnings"]:
        _print(console, Text("warning:", "yellow"), f" {warning}")
    out = selection.path
    _print(
        console,
        f"\nscores    {out}/scores.parquet\nreport    {out}/report.html\n"
        f"options   {out}/config.yaml\nhand over learnalign export {out} --as trl"
        if count
        else f"\nscores    {out}/scores.parquet\nreport    {out}/report.html\n"
        f"choose    learnalign score {out} --budget K",
        wrap=False,
    )


def training_summary(training: Training) -> dict[str, Any]:
    """Sum up a training: the first and the last tenth of its steps, and what it cost."""
    rows = training.steps.to_pylist()
    tenth = max(1, len(rows) // 10)

    def mean(part: list[dict[str, Any]], name: str) -> float | None:
        values = [row[name] for row in part if row[name] is not None]
        return sum(values) / len(values) if values else None

    return {
        "out": str(training.path),
        "model": str(training.model),
        "steps": len(rows),
        "first_reward": mean(rows[:tenth], "mean_reward"),
        "last_reward": mean(rows[-tenth:], "mean_reward"),
        "last_kl": mean(rows[-tenth:], "kl"),
        **{
            f"{name}_s": round(sum(row[f"{name}_s"] for row in rows), 1)
            for name in ("sampling", "verifying", "learning")
        },
    }


def print_training(training: Training, *, after: str | None = None) -> None:
    """Print what a training did, and what comes ``after`` it."""
    console = _console()
    table = Table(title="How it went", title_justify="left")
    for name in (
        "steps",
        "reward",
        "with signal",
        "tokens",
        "cut off",
        "KL",
        "gradient",
        "a step",
    ):
        table.add_column(name, justify="right")
    rows = training.steps.to_pylist()
    size = -(-len(rows) // 10)
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]

        def mean(name: str, digits: int, part: list[dict[str, Any]] = part) -> str:
            values = [row[name] for row in part if row[name] is not None]
            return f"{sum(values) / len(values):.{digits}f}" if values else ""

        seconds = sum(r["sampling_s"] + r["verifying_s"] + r["learning_s"] for r in part)
        _row(
            table,
            f"{begin + 1} to {begin + len(part)}",
            mean("mean_reward", 3),
            f"{sum(r['num_signal'] for r in part) / sum(r['num_problems'] for r in part):.0%}",
            mean("mean_tokens", 1),
            mean("share_truncated", 2),
            mean("kl", 5),
            mean("gradient_norm", 3),
            duration(seconds / len(part)),
        )
    console.print(table)
    _print(
        console,
        f"\nmodel     {training.model}\nhistory   {training.path}/history, {training.path}/steps\n"
        f"picture   {training.path}/training.html\n"
        + (after or f"evaluate  learnalign evaluate {training.model} BENCHMARK"),
        wrap=False,
    )


def print_stages(stages: list[Stage], out: Path) -> None:
    """Print what each stage chose and from what."""
    console = _console()
    table = Table(title="Stage by stage", title_justify="left")
    for name in ("stage", "success rate of the pool", "chosen", "of them before", "easy", "reused"):
        table.add_column(name, justify="right")
    for stage in stages:
        _row(
            table,
            str(stage.number),
            f"{stage.mean_success_rate:.3f}",
            str(stage.num_chosen),
            "" if stage.num_kept is None else str(stage.num_kept),
            str(stage.num_easy),
            str(stage.num_reused),
        )
    console.print(table)
    _print(
        console,
        f"\nmodel     {stages[-1].model}\npicture   {out}/stages.html\nfigures   {out}/stages.json",
        wrap=False,
    )


def print_comparison(comparison: Comparison) -> None:
    """Print whom each method would choose, and how far they agree."""
    console = _console()
    chosen = max(len(choice.problem_ids) for choice in comparison.choices)
    table = Table(title=f"What each would train on: {chosen} problems", title_justify="left")
    table.add_column("method", no_wrap=True)
    for name in ("solved", "signal", "response", "prompt", "again"):
        table.add_column(name, justify="right")
    table.add_column("most from")
    for choice in comparison.choices:
        most = [f"{n or 'no source'} {k}" for n, k in list(choice.sources.items())[:3]]
        _row(
            table,
            choice.label,
            f"{choice.success_rate:.2f}",
            f"{choice.with_signal:.0%}",
            f"{choice.response_tokens:.1f}",
            f"{choice.prompt_tokens:.1f}",
            "" if choice.stability is None else f"{choice.stability:.0%}",
            ", ".join(most),
        )
    console.print(table)
    grid = Table(title="Share of the row's problems that the column has", title_justify="left")
    grid.add_column("", no_wrap=True)
    for place, _ in enumerate(comparison.choices, 1):
        grid.add_column(str(place), justify="right")
    for place, (choice, row) in enumerate(
        zip(comparison.choices, comparison.overlaps, strict=True), 1
    ):
        _row(grid, f"{place} {choice.label}", *(f"{value:.2f}" for value in row))
    console.print(grid)
    _print(
        console,
        "Solved: mean success rate. Signal: some rollouts solve it and others do not. Response and "
        "prompt: mean tokens. Again: would be chosen again with other rollouts.\n"
        f"Two draws at random would share {chosen / comparison.num_problems:.2f}.\n"
        f"\npicture   {comparison.path}/compare.html\nfigures   {comparison.path}/compare.json\n"
        f"ids       {comparison.path}/METHOD.txt, for learnalign train MODEL RUN --subset FILE",
        wrap=False,
    )


def print_evaluation(evaluation: Evaluation) -> None:
    """Print accuracies with their 95 % intervals, and differences where there are any."""
    console = _console()
    _print(console, "\n", _bold("Accuracy, 95 % intervals"))
    for result in evaluation.results:
        found, change = result.accuracy, result.against
        _print(
            console,
            f"{result.benchmark}, {result.mode}: ",
            _bold(f"{found.mean:.3f}"),
            f" ({found.low:.3f} to {found.high:.3f}) on {found.num_problems} problems, "
            f"{result.share_truncated:.0%} of the responses cut off",
            wrap=False,
        )
        if change is not None:
            _print(
                console,
                "  ",
                _bold(f"{change.mean:+.3f}"),
                f" ({change.low:+.3f} to {change.high:+.3f}) "
                f"to the other: better on {change.better}, worse on {change.worse}, "
                f"p = {change.p_value:.2g}",
                wrap=False,
            )
    left_out = sum(result.num_excluded for result in evaluation.results)
    if left_out:
        _print(
            console, f"{left_out} problems were left out; they are listed in the runs' excluded/"
        )
    _print(
        console,
        f"\nresults   {evaluation.path}/results.json\n"
        f"scores    {evaluation.path}/evaluation.parquet",
        wrap=False,
    )


def _groups(ranked: list[dict[str, Any]]) -> Table:
    table = Table(title="What was chosen", title_justify="left")
    for name in ("source", "difficulty"):
        table.add_column(name, overflow="fold")
    for name in ("problems", "success rate", "mean alignment", "chosen"):
        table.add_column(name, justify="right")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in ranked:
        groups.setdefault((row["source"] or "", row["difficulty"] or ""), []).append(row)
    chosen = Counter({key: sum(r["selected"] for r in rows) for key, rows in groups.items()})
    for key, _ in chosen.most_common(12):
        rows = groups[key]
        live = [r["alignment"] for r in rows if r["learnability"] > 0]
        _row(
            table,
            *key,
            str(len(rows)),
            f"{sum(r['success_rate'] for r in rows) / len(rows):.2f}",
            f"{sum(live) / len(live):.4f}" if live else "no signal",
            str(chosen[key]),
        )
    return table


def _first(ranked: list[dict[str, Any]], method: str) -> Table:
    table = Table(title="Why: the first of the ranking", title_justify="left")
    table.add_column("problem", overflow="fold")  # to be copied whole
    factors = ("= p(1-p)", "x alignment") if method == "learnalign" else ("p(1-p)", "alignment")
    for name in ("score", *factors, "p", "chosen again"):
        table.add_column(name, justify="right")
    for row in ranked[:5]:
        again = row["stability"]
        _row(
            table,
            row["problem_id"],
            f"{row['score']:.5f}",
            f"{row['learnability']:.3f}",
            f"{row['alignment']:.4f}",
            f"{row['success_rate']:.2f}",
            "" if again is None else f"{again:.0%}",
        )
    return table
