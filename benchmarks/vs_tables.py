"""The comparison's tables: means over seeds, paired differences, costs."""

import statistics
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from scipy import stats

from harness import Figure
from learnalign.selecting.methods.registry import METHODS

Row = dict[str, Any]
#: The paper's ablation (arXiv 2506.11480): GSM8K, Qwen2.5-1.5B-Instruct, 1,000 problems.
PAPER = {
    "learnalign+warmup": 77.5,
    "learnalign": 76.6,
    "alignment": 75.6,
    "features": 75.7,
    "random": 75.6,
    "full": 77.0,
}
#: docs/results/claim.md: hypothesis, better method, worse method; jointly corrected by Holm.
HYPOTHESES = (
    ("1", "learnalign+warmup", "random"),
    ("3", "learnalign", "learnability"),
    ("4", "learnability", "random"),
    ("6", "learnalign+warmup", "learnalign"),
    ("7a", "learnalign", "alignment"),
    ("7b", "learnalign", "inner_product"),
    ("7c", "learnalign", "features"),
)


class Table:
    """The cells of one comparison, by method, budget and steps."""

    def __init__(self, lines: Iterable[Row], steps: int, budget: float) -> None:
        self.cells = [line for line in lines if line["key"].startswith("cell:")]
        self.pools = [line for line in lines if line["key"].startswith("pool:")]
        self.steps, self.budget = steps, budget

    def by_seed(
        self,
        method: str,
        value: Callable[[Row], Any],
        *,
        budget: float | None = None,
        steps: int | None = None,
    ) -> dict[int, Any]:
        """Return a value of each seed's cell."""
        budget = 1.0 if method == "full" else budget or self.budget
        return {
            cell["seed"]: value(cell)
            for cell in self.cells
            if (cell["method"], cell["budget"], cell["steps"])
            == (method, budget, steps or self.steps)
        }

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of their first cell."""
        return list(dict.fromkeys(cell["method"] for cell in self.cells))

    @property
    def rules(self) -> list[str]:
        """The methods that select once."""
        return [method for method in self.methods if not method.startswith("stages")]

    def cost(self, method: str) -> dict[str, float]:
        """Return the processor seconds of a selection, by the stages that the method needs.

        Means over pools. The wall-clock time of each part was measured on a busy machine and is
        scaled by the ratio of processor time to wall-clock time of the whole.
        """
        rule, *how = method.split("+")
        kind = "warm" if "warmup" in how else "base"
        pools = [pool for pool in self.pools if pool["pool"] == kind]
        requires = METHODS["random" if rule == "full" else rule].requires

        def mean(value: Callable[[Row], float]) -> float:
            return statistics.mean(value(pool) * _busy(pool["whole"]) for pool in pools)

        parts = ["rollouts", "verdicts"] if "rewards" in requires else []
        parts += ["gradients"] if "gradients" in requires else []
        cost = {part: mean(lambda pool, part=part: pool[f"{part}_s"]) for part in parts}
        if "features" in requires:
            cost["features"] = statistics.mean(pool["features"]["processor_s"] for pool in pools)
        if kind == "warm":
            cost["warmup"] = mean(lambda pool: sum(pool["warmup_s"].values()))
        return cost


def _busy(spent: Row) -> float:
    return float(spent["processor_s"] / spent["wall_s"])


def greedy(cell: Row) -> float:
    """Return greedy accuracy on the held-out problems."""
    return float(cell["greedy"]["mean"])


def sampled(cell: Row) -> float:
    """Return mean@k on the held-out problems."""
    return float(cell["sampled"]["mean"])


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return the mean over seeds with its 95 % interval (Student's t).

    Example:
        >>> [round(x, 3) for x in interval([1.0, 2.0, 3.0])]
        [2.0, -0.484, 4.484]
    """
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    error = statistics.stdev(values) / len(values) ** 0.5
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return mean, mean - half, mean + half


def paired(one: dict[int, float], other: dict[int, float]) -> Row:
    """Compare two methods seed by seed."""
    gaps = [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]
    mean, low, high = interval(gaps)
    p = float(stats.ttest_1samp(gaps, 0.0).pvalue) if len(gaps) > 1 else float("nan")
    return {"difference": mean, "low": low, "high": high, "p": p, "num_seeds": len(gaps)}


def holm(values: list[float]) -> list[float]:
    """Correct p-values for multiple comparisons (Holm).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, least = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = least
    return corrected


def accuracy_rows(table: Table, budget: float) -> list[Row]:
    """Return the main table: accuracy, mean@k, and paired differences from random and full."""
    rows = []
    random = table.by_seed("random", greedy, budget=budget)
    full = table.by_seed("full", greedy)
    for method in table.methods:
        mine = table.by_seed(method, greedy, budget=budget)
        if not mine:
            continue
        mean, low, high = interval(list(mine.values()))
        row: Row = {"method": method, "budget": 1.0 if method == "full" else budget}
        row |= {"greedy": mean, "low": low, "high": high, "num_seeds": len(mine)}
        row["sampled"] = statistics.mean(table.by_seed(method, sampled, budget=budget).values())
        if method != "random" and random:
            row["from_random"] = paired(mine, random)
        if method != "full" and full:
            row["from_full"] = paired(mine, full)
        rows.append(row)
    return rows


def hypothesis_rows(table: Table) -> list[Row]:
    """Return the differences of the preregistered hypotheses, jointly corrected."""
    rows = []
    for name, better, other in HYPOTHESES:
        one, two = table.by_seed(better, greedy), table.by_seed(other, greedy)
        if one.keys() & two.keys():
            rows.append({"hypothesis": name, "of": better, "to": other, **paired(one, two)})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def kind_rows(table: Table, budget: float) -> list[Row]:
    """Return greedy accuracy by kind of problem; means over seeds."""
    rows = []
    for method in table.methods:
        found = table.by_seed(method, lambda cell: cell["greedy"]["by_kind"], budget=budget)
        cells = list(found.values())
        if cells:
            kinds = {kind: statistics.mean(c[kind] for c in cells) for kind in cells[0]}
            rows.append({"method": method, **kinds})
    return rows


def chosen_rows(table: Table, budget: float) -> list[Row]:
    """Describe each method's selection: noise, success rates, lengths; means over seeds."""
    rows = []
    for method in table.rules:

        def mean(value: Callable[[Row], float], method: str = method) -> float:
            return statistics.mean(table.by_seed(method, value, budget=budget).values())

        if not table.by_seed(method, greedy, budget=budget):
            continue
        rows.append(
            {
                "method": method,
                "coins": mean(lambda c: c["noise"].get("coin", 0) / c["num_chosen"]),
                "mislabelled": mean(lambda c: c["noise"].get("mislabelled", 0) / c["num_chosen"]),
                "success_rate": mean(lambda c: c["success_rate"]),
                "with_signal": mean(lambda c: c["with_signal"]),
                "response_tokens": mean(lambda c: c["response_tokens"]),
                "prompt_tokens": mean(lambda c: c["prompt_tokens"]),
                "effective_kinds": mean(effective_kinds),
            }
        )
    return rows


def effective_kinds(cell: Row) -> float:
    """Return the effective number of kinds: 1 / sum of squared shares (inverse Simpson)."""
    total = sum(cell["kinds"].values())
    return 1.0 / sum((count / total) ** 2 for count in cell["kinds"].values())


def cost_rows(table: Table, whole_steps: int) -> list[Row]:
    """Return the seconds of selecting and training, also relative to training on the full pool."""
    whole = table.by_seed("full", training_s, steps=whole_steps)
    unit = statistics.mean(whole.values()) if whole else None
    rows = []
    for method in table.rules:
        spent = table.cost(method)
        training = statistics.mean(table.by_seed(method, training_s).values())
        row: Row = {"method": method, **spent, "training": training}
        row["choosing"] = sum(spent.values())
        row["total"] = row["choosing"] + training
        if unit:
            row["share_of_full"] = row["total"] / unit
        rows.append(row)
    return rows


def clock_rows(table: Table, costs: list[Row], lengths: list[int]) -> list[Row]:
    """Compare with training on the full pool for as long as selecting and training took."""
    means = []
    for steps in lengths:
        seconds = table.by_seed("full", training_s, steps=steps)
        found = table.by_seed("full", greedy, steps=steps)
        if found:
            means.append(
                (statistics.mean(seconds.values()), statistics.mean(found.values()), steps)
            )
    rows = []
    for cost in costs:
        if cost["method"] in ("full", "random") or len(means) < 2:
            continue
        accuracy = statistics.mean(table.by_seed(cost["method"], greedy).values())
        rows.append(
            {"method": cost["method"], "seconds": cost["total"], "greedy": accuracy}
            | {"full_for_as_long": _between(means, cost["total"])}
        )
    return rows + [{"full_steps": n, "seconds": s, "greedy": a} for s, a, n in means]


def training_s(cell: Row) -> float:
    """Return the processor seconds of a cell's training, including loading and saving the model."""
    return float(cell["training"]["processor_s"])


def _between(points: list[tuple[float, float, int]], seconds: float) -> float | None:
    """Interpolate the accuracy between measured lengths; None outside them."""
    for (s, a, _), (t, b, _) in pairwise(points):
        if s <= seconds <= t:
            return a + (b - a) * (seconds - s) / (t - s)
    return None


def markdown(rows: list[Row]) -> str:
    """Format rows as a Markdown table; differences with their intervals."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_text(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['difference']:+.3f} ({value['low']:+.3f} to {value['high']:+.3f})"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"
    return "" if value is None else str(value)


def figures_of(hypotheses: list[Row]) -> dict[str, Figure]:
    """Return the hypotheses' differences as figures."""
    return {
        f"{row['hypothesis']}: {row['of']} less {row['to']}": Figure(
            row["difference"], "", "higher", (row["high"] - row["low"]) / 2
        )
        for row in hypotheses
    }
