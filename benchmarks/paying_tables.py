"""Tables and the picture of `paying.py`: gains over random problems, paired by seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness import Figure
from vs_tables import interval

Row = dict[str, Any]
BASELINE = "random"
#: Passes over the chosen problems at the first readings.
PASSES = (1, 2, 4)
#: Share of the pool that is chosen.
BUDGET = 0.1
_ABOUT = ("policy", "pool", "signal", "noise", "kind", "rule")
_COLOURS = ("#555555", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2")


def by_policy(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each policy, the one with the most rows first."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["policy"], []).append(row)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def tables(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each pool, rule and number of passes, of one policy.

    ``gain``: accuracy less that of random problems after the same number of steps. ``gain at equal
    seconds``: the same when `random`, which pays for no selection, has trained for as long as
    selection and training took together; None where its readings do not reach that far. Rules that
    look at success rates alone are not charged for gradients.
    """
    cells = {(row["pool"], row["rule"], row["seed"]): row for row in rows}
    found = []
    for pool, rule in dict.fromkeys((row["pool"], row["rule"]) for row in rows):
        seeds = sorted(s for p, r, s in cells if p == pool and r == rule)
        pairs = [(cells[pool, rule, s], cells[pool, BASELINE, s]) for s in seeds
                 if (pool, BASELINE, s) in cells]  # fmt: skip
        if not pairs:
            continue
        first = pairs[0][0]
        for place, passes in enumerate(PASSES):
            found.append(
                {key: first[key] for key in _ABOUT}
                | {"passes": passes, "seeds": len(pairs)}
                | {"measured_signal": float(np.mean([a["measured_signal"] for a, _ in pairs]))}
                | {"accuracy": float(np.mean([a["readings"][place]["accuracy"] for a, _ in pairs]))}
                | {"noise_share": float(np.mean([a["noise_share"] for a, _ in pairs]))}
                | {
                    "gain": difference(
                        [
                            a["readings"][place]["accuracy"] - b["readings"][place]["accuracy"]
                            for a, b in pairs
                        ]
                    ),
                    "gain at equal seconds": difference(
                        [at_equal_seconds(a, b, place) for a, b in pairs]
                    ),
                }
            )
    return found


def cost(row: Row) -> float:
    """Return the seconds that a rule's choice takes."""
    stages = row["stage_s"]
    if row["rule"] in (BASELINE, "full"):
        return 0.0
    gradients = row["rule"].startswith(("learnalign", "gate"))
    return float(
        stages["rollouts"] + stages["verdicts"] + (stages["gradients"] if gradients else 0.0)
    )


def at_equal_seconds(row: Row, baseline: Row, place: int) -> float | None:
    """Return the gain when the baseline has trained for as long as choosing and training took."""
    reading = row["readings"][place]
    spent = reading["seconds"] + cost(row)
    seconds = [each["seconds"] for each in baseline["readings"]]
    if spent > seconds[-1]:
        return None
    accuracies = [each["accuracy"] for each in baseline["readings"]]
    return float(reading["accuracy"] - np.interp(spent, seconds, accuracies))


def difference(values: Sequence[float | None]) -> Row | None:
    """Return the mean of paired differences with a 95 % interval; None if one is unknown."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len(known) < 2:
        return None
    mean, low, high = interval(known)
    return {"mean": mean, "low": low, "high": high, "values": known}


def text(found: Sequence[Row]) -> str:
    """Return the tables as Markdown, one for each number of passes."""
    lines: list[str] = []
    rules = [rule for rule in dict.fromkeys(row["rule"] for row in found) if rule != BASELINE]
    for passes in PASSES:
        here = [row for row in found if row["passes"] == passes]
        lines += [
            "",
            f"passes over the chosen problems: {passes}",
            "",
            f"| pool | with a signal | random | {' | '.join(rules)} |",
        ]
        lines += ["|" + " --- |" * (3 + len(rules))]
        for pool in dict.fromkeys(row["pool"] for row in here):
            by_rule = {row["rule"]: row for row in here if row["pool"] == pool}
            base = by_rule[BASELINE]
            cells = [_gain(by_rule.get(rule)) for rule in rules]
            lines.append(
                f"| {pool} | {base['measured_signal']:.2f} | {base['accuracy']:.3f} | "
                f"{' | '.join(cells)} |"
            )
    return "\n".join(lines)


def across(rows: Sequence[Row], pools: Sequence[str]) -> list[Row]:
    """Return each rule's gains over `random` in some pools together, paired by pool and seed.

    Only pools and seeds in which every rule was trained are used, and rules that were trained in
    every one of the pools.
    """
    cells = {(row["pool"], row["seed"], row["rule"]): row for row in rows if row["pool"] in pools}
    trained = {rule: {(p, s) for p, s, r in cells if r == rule} for _, _, rule in cells}
    rules = [rule for rule, at in trained.items() if {pool for pool, _ in at} == set(pools)]
    common = sorted(set.intersection(*(trained[rule] for rule in rules))) if rules else []
    found = []
    for rule in rules:
        pairs = [(cells[p, s, rule], cells[p, s, BASELINE]) for p, s in common]
        for place, passes in enumerate(PASSES):
            gains = [
                a["readings"][place]["accuracy"] - b["readings"][place]["accuracy"]
                for a, b in pairs
            ]
            by_pool = {
                pool: float(
                    np.mean([g for g, (p, _) in zip(gains, common, strict=True) if p == pool])
                )
                for pool in pools
            }
            noise = {
                pool: float(np.mean([a["noise_share"] for a, _ in pairs if a["pool"] == pool]))
                for pool in pools
            }
            found.append({"across": list(pools), "rule": rule, "passes": passes,
                          "pairs": len(pairs), "gain": difference(gains), "by pool": by_pool,
                          "noise share": noise})  # fmt: skip
    return found


def across_text(found: Sequence[Row]) -> str:
    """Return `across` as Markdown: gains after each length, and by pool after the last."""
    if not found:
        return ""
    pools = found[0]["across"]
    heads = [f"passes: {passes}" for passes in PASSES] + [f"{PASSES[-1]}: {pool}" for pool in pools]
    lines = ["| rule | " + " | ".join(heads) + " |", "|" + " --- |" * (1 + len(heads))]
    for rule in dict.fromkeys(row["rule"] for row in found):
        mine = [row for row in found if row["rule"] == rule]
        cells = [_gain(row) for row in mine]
        cells += [f"{mine[-1]['by pool'][pool]:+.3f}" for pool in pools]
        lines.append(f"| {rule} | {' | '.join(cells)} |")
    return f"{found[0]['pairs']} pairs of trainings\n\n" + "\n".join(lines)


def _gain(row: Row | None) -> str:
    if row is None or row["gain"] is None:
        return ""
    gain = row["gain"]
    return f"{gain['mean']:+.3f} ± {(gain['high'] - gain['low']) / 2:.3f}"


def figures(found: Sequence[Row]) -> dict[str, Figure]:
    """Return the gains after the last steps, pool by pool."""
    return {
        f"{row['pool']}: {row['rule']} less random": Figure(
            row["gain"]["mean"], "", "higher", (row["gain"]["high"] - row["gain"]["low"]) / 2
        )
        for row in found
        if row["passes"] == PASSES[-1] and row["rule"] != BASELINE and row["gain"]
    }


def draw(path: Path, found: Sequence[Row]) -> None:
    """Write a page: the gain over the share with a signal, without noise, one line a rule."""
    from plotly.subplots import make_subplots

    clean = [row for row in found if row["kind"] == "none" and row["gain"]]
    titles = [f"{passes} pass" + "es" * (passes > 1) for passes in PASSES]
    figure = make_subplots(rows=1, cols=len(PASSES), subplot_titles=titles, shared_yaxes=True)
    rules = [rule for rule in dict.fromkeys(row["rule"] for row in clean) if rule != BASELINE]
    for column, passes in enumerate(PASSES, 1):
        for number, rule in enumerate(rules):
            mine = [row for row in clean if row["rule"] == rule and row["passes"] == passes]
            mine.sort(key=lambda row: row["measured_signal"])
            halves = [(row["gain"]["high"] - row["gain"]["low"]) / 2 for row in mine]
            figure.add_scatter(
                x=[row["measured_signal"] for row in mine],
                y=[row["gain"]["mean"] for row in mine],
                error_y={"array": halves, "thickness": 1},
                name=rule,
                legendgroup=rule,
                showlegend=column == 1,
                line={"color": _COLOURS[number % len(_COLOURS)]},
                row=1,
                col=column,
            )
        figure.add_hline(y=0.0, line={"color": "#999999", "dash": "dot"}, row=1, col=column)
        figure.update_xaxes(title_text="share with a signal", tickformat=".0%", row=1, col=column)
    figure.update_yaxes(title_text="accuracy gained over random problems", row=1, col=1)
    figure.update_layout(template="plotly_white", width=320 * len(PASSES) + 160, height=440)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs=True, config={"displayModeBar": False})
