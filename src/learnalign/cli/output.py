"""Terminal summaries of finished selections, trainings, stages, comparisons and evaluations."""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from learnalign.cli.tables import add_row as _row
from learnalign.cli.tables import bold as _bold
from learnalign.cli.tables import plain_console as _console
from learnalign.cli.tables import print_parts as _print
from learnalign.terminal.commands import command_line
from learnalign.terminal.durations import duration
from learnalign.workflows.compare import Comparison
from learnalign.workflows.evaluate import Evaluation
from learnalign.workflows.select import Selection
from learnalign.workflows.staged import Stage
from learnalign.workflows.train import Training


def print_selection(selection: Selection) -> None:
    """Print a selection: what was chosen, why, and where the files are."""
    console = _console()
    summary = selection.summary
    ranked = selection.scores.to_pylist()
    count = summary["num_selected"]
    _print(
        console,
        "\n",
        _bold(f"{count} of {summary['num_problems']} problems chosen"),
        f" by {summary['method']}; {summary['num_signal']} have signal, "
        f"{summary['num_all_wrong']} were never solved, {summary['num_all_right']} always.",
    )
    if summary.get("dropped"):
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in summary["dropped"].items())
        _print(console, f"Left out by the audit: {kinds} problems ({selection.path}/audit).")
    spending = summary.get("spending")
    if spending:
        _print(
            console,
            f"{spending['rollouts']:,} rollouts instead of {spending['full_budget']:,} "
            f"({spending['rollouts'] / spending['full_budget']:.0%}); the full budget is expected "
            f"to change {spending['expected_loss']:.1%} of the selection.",
        )
    if summary.get("reused"):
        _print(console, f"{summary['reused']:,} rollouts were reused from an earlier run.")
    stability = summary["stability"]
    if stability:
        _print(
            console,
            f"Expected overlap with an independent re-run: {stability['expected_overlap']:.0%}.",
        )
    if len(ranked) > 1:
        console.print(_groups(ranked))
        console.print(_top(ranked, summary["method"]))
    for warning in summary["warnings"]:
        _print(console, Text("warning:", "yellow"), f" {warning}")
    out = selection.path
    _print(
        console,
        f"\nscores    {out}/scores.parquet\nreport    {out}/report.html\n"
        f"options   {out}/config.yaml\nexport    {command_line('export', out, '--as', 'trl')}"
        if count
        else f"\nscores    {out}/scores.parquet\nreport    {out}/report.html\n"
        f"select    {command_line('score', out, '--budget', 'K')}",
        wrap=False,
    )


def training_summary(training: Training) -> dict[str, Any]:
    """Summarize a training: the first and last tenth of its steps, and its cost."""
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
    """Print a training's progress and output files, and the next command (``after``)."""
    console = _console()
    table = Table(title="Training", title_justify="left")
    for name in (
        "steps",
        "reward",
        "with signal",
        "tokens",
        "truncated",
        "KL",
        "gradient",
        "per step",
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
        f"charts    {training.path}/training.html\n"
        + (after or f"evaluate  {command_line('evaluate', training.model, 'BENCHMARK')}"),
        wrap=False,
    )


def print_stages(stages: list[Stage], out: Path) -> None:
    """Print what each stage chose, and from what pool."""
    console = _console()
    table = Table(title="Stages", title_justify="left")
    for name in ("stage", "pool success rate", "chosen", "kept", "easy", "reused"):
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
        f"\nmodel     {stages[-1].model}\nchart     {out}/stages.html\ndata      {out}/stages.json",
        wrap=False,
    )


def print_comparison(comparison: Comparison) -> None:
    """Print which problems each method selects, and how much they overlap."""
    console = _console()
    chosen = max(len(choice.problem_ids) for choice in comparison.choices)
    table = Table(title=f"Each method's {chosen} problems", title_justify="left")
    table.add_column("method", no_wrap=True)
    for name in ("solved", "signal", "response", "prompt", "stability"):
        table.add_column(name, justify="right")
    table.add_column("top sources")
    for choice in comparison.choices:
        top = [f"{n or 'no source'} {k}" for n, k in list(choice.sources.items())[:3]]
        _row(
            table,
            choice.label,
            f"{choice.success_rate:.2f}",
            f"{choice.with_signal:.0%}",
            f"{choice.response_tokens:.1f}",
            f"{choice.prompt_tokens:.1f}",
            "" if choice.stability is None else f"{choice.stability:.0%}",
            ", ".join(top),
        )
    console.print(table)
    grid = Table(title="Share of the row's problems that the column has", title_justify="left")
    grid.add_column("", no_wrap=True)
    for number, _ in enumerate(comparison.choices, 1):
        grid.add_column(str(number), justify="right")
    for number, (choice, row) in enumerate(
        zip(comparison.choices, comparison.overlaps, strict=True), 1
    ):
        _row(grid, f"{number} {choice.label}", *(f"{value:.2f}" for value in row))
    console.print(grid)
    _print(
        console,
        "Solved: mean success rate. Signal: share that some rollouts solve and others do not. "
        "Response, prompt: mean tokens. Stability: expected overlap with an independent re-run.\n"
        f"Two random selections would overlap by {chosen / comparison.num_problems:.2f}.\n"
        f"\nchart     {comparison.path}/compare.html\ndata      {comparison.path}/compare.json\n"
        f"ids       {comparison.path}/METHOD.txt, for learnalign train MODEL RUN --subset FILE",
        wrap=False,
    )


def print_evaluation(evaluation: Evaluation) -> None:
    """Print accuracies with 95 % intervals, and differences from the other evaluation, if any."""
    console = _console()
    _print(console, "\n", _bold("Accuracy, 95 % intervals"))
    for result in evaluation.results:
        accuracy, change = result.accuracy, result.against
        _print(
            console,
            f"{result.benchmark}, {result.mode}: ",
            _bold(f"{accuracy.mean:.3f}"),
            f" ({accuracy.low:.3f} to {accuracy.high:.3f}) on {accuracy.num_problems} problems, "
            f"{result.share_truncated:.0%} of the responses truncated",
            wrap=False,
        )
        if change is not None:
            _print(
                console,
                "  ",
                _bold(f"{change.mean:+.3f}"),
                f" ({change.low:+.3f} to {change.high:+.3f}) "
                f"from the other: better on {change.better}, worse on {change.worse}, "
                f"p = {change.p_value:.2g}",
                wrap=False,
            )
    num_excluded = sum(result.num_excluded for result in evaluation.results)
    if num_excluded:
        _print(
            console, f"{num_excluded} problems were excluded; the runs' excluded/ folders list them"
        )
    _print(
        console,
        f"\nresults   {evaluation.path}/results.json\n"
        f"scores    {evaluation.path}/evaluation.parquet",
        wrap=False,
    )


def _groups(ranked: list[dict[str, Any]]) -> Table:
    table = Table(title="Chosen by source and difficulty", title_justify="left")
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
        alignments = [r["alignment"] for r in rows if r["learnability"] > 0]
        _row(
            table,
            *key,
            str(len(rows)),
            f"{sum(r['success_rate'] for r in rows) / len(rows):.2f}",
            f"{sum(alignments) / len(alignments):.4f}" if alignments else "no signal",
            str(chosen[key]),
        )
    return table


def _top(ranked: list[dict[str, Any]], method: str) -> Table:
    table = Table(title="Top of the ranking", title_justify="left")
    table.add_column("problem", overflow="fold")  # so that the whole id can be copied
    factors = ("= p(1-p)", "x alignment") if method == "learnalign" else ("p(1-p)", "alignment")
    for name in ("score", *factors, "p", "stability"):
        table.add_column(name, justify="right")
    for row in ranked[:5]:
        stability = row["stability"]
        _row(
            table,
            row["problem_id"],
            f"{row['score']:.5f}",
            f"{row['learnability']:.3f}",
            f"{row['alignment']:.4f}",
            f"{row['success_rate']:.2f}",
            "" if stability is None else f"{stability:.0%}",
        )
    return table
