"""Terminal summary of a profile: shares, success by group, costs, and what to run next."""

from typing import Any

from rich.table import Table
from rich.text import Text

from learnalign.cli.tables import add_row, bold, plain_console, print_parts
from learnalign.reporting.formatting import figure, percent
from learnalign.reporting.profile import hours, points, price, share
from learnalign.workflows.profile import Profile


def print_profile(done: Profile) -> None:
    """Print a profile and where its files are."""
    console = plain_console()
    found: dict[str, Any] = done.summary
    measures, plan, speed = found["measures"], found["plan"], found["speed"]
    print_parts(
        console,
        "\n",
        bold(f"{share(measures['signal'])} of the problems have a signal"),
        f"; {share(measures['solved'])} are always solved, {share(measures['hopeless'])} never. "
        f"Sampled: {measures['problems']:,} of {plan['pool']:,} usable problems, mean success rate "
        f"{measures['success_rate']:.2f}.",
    )
    print_parts(
        console,
        f"A rollout: {figure(measures['tokens'])} tokens, "
        f"{figure(speed['seconds_per_rollout'])} s; {percent(measures['truncated']['share'])} "
        f"truncated, {percent(measures['unread']['share'])} without a readable answer.",
    )
    if measures["groups"]:
        console.print(_groups(measures["groups"]))
    console.print(_costs(found))
    print_parts(
        console,
        "Sampling and verifying alone, with 95 % intervals; learning from the rollouts, and "
        "gradients where the selection method needs them, take time too.",
    )
    for warning in [*found["advice"]["warnings"], *found["warnings"]]:
        print_parts(console, Text("warning:", "yellow"), f" {warning}")
    print_parts(console, "\n", bold(f"Advice: {found['advice']['headline']}."))
    if not found["advice"]["sure"]:
        print_parts(console, "The interval of the share with a signal also allows another answer.")
    if (forecast := found["advice"]["forecast"]) is not None:
        print_parts(
            console,
            "Forecast of what selecting gains, in points of accuracy, over trainings that take as "
            f"long as choosing and training: {points(forecast['over_pool'])} over the whole pool, "
            f"{points(forecast['over_random'])} over random problems.",
        )
    print_parts(console, f"Measured: {found['advice']['evidence']}.")
    print_parts(
        console,
        f"\npage      {done.path}/profile.html\ndata      {done.path}/profile.json\n"
        f"next      {done.command}",
        wrap=False,
    )
    if done.next_round is not None:
        print_parts(console, f"or first  {done.next_round}", wrap=False)


def _groups(groups: dict[str, list[dict[str, Any]]]) -> Table:
    table = Table(title="Success by group", title_justify="left")
    for name in ("by", "group"):
        table.add_column(name, overflow="fold")
    for name in ("problems", "success rate", "with signal"):
        table.add_column(name, justify="right")
    for kind, members in groups.items():
        for number, group in enumerate(members):
            add_row(
                table,
                kind if number == 0 else "",
                group["name"],
                f"{group['problems']:,}",
                f"{group['success_rate']:.2f}",
                share(group["signal"]),
            )
    return table


def _costs(found: dict[str, Any]) -> Table:
    plan, gpus = found["plan"], found["speed"]["gpus"]
    title = f"What {plan['chosen']:,} of {plan['pool']:,} problems cost, training for "
    passes = "one pass" if plan["passes"] == 1 else f"{plan['passes']:g} passes"
    table = Table(title=title + passes, title_justify="left")
    table.add_column("", overflow="fold")
    for name in ("rollouts", "tokens", "time here"):
        table.add_column(name, justify="right")
    if gpus:
        several = "s" if gpus["count"] > 1 else ""
        table.add_column(f"on {gpus['count']} GPU{several}", justify="right")
        if gpus["price"] is not None:
            table.add_column("price", justify="right")
    for cost in found["costs"]:
        signed = cost["name"].startswith("more than")
        cells = [
            ("select and train: " if signed else "") + cost["name"],
            f"{cost['rollouts']:+,}" if signed else f"{cost['rollouts']:,}",
            f"{cost['tokens']['value']:+,.0f}" if signed else f"{cost['tokens']['value']:,.0f}",
            hours(cost["hours"], signed=signed),
        ]
        if "gpu_hours" in cost:
            cells.append(hours(cost["gpu_hours"], signed=signed))
        if "price" in cost:
            cells.append(price(cost["price"]))
        add_row(table, *cells)
    return table
