"""Which selection rules find the problems that a training improves, on a recorded run.

1,209 problems through 500 steps of a real training on all of them (one-shot RLVR's record,
Qwen2.5-Math-1.5B; a reading is the mean of 8 rollouts). Rules see readings 0 and 1 and prior
information; they are judged by the gain from readings 2 to 5 to readings 38 to 43. They do not see
the baseline, so noise in the first readings does not count as a gain.

Kinds of rules: known (in use); unsupervised (needs no gains); supervised (learns from the gains of
other problems in a finished training; each problem is scored by fits without it); future (sees the
outcome: a reference, not a rule).

For intervals, problems are resampled with replacement and ranked again with the same scores. Ties
are broken at random; every figure is the mean over several tie-breaks.
"""

import gzip
import json
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from harness import ROOT, Figure, publish
from learnalign.scoring.scores import learnability
from learnalign.selecting.candidates import Candidates
from learnalign.selecting.methods.histories import history_variance, limr
from learnalign.selecting.methods.registry import METHODS
from learnalign.selecting.order import budget_count, random_keys, ranking
from learnalign.selecting.statistics.success_rates import jeffreys_interval

DATA = ROOT.parent / "shared" / "data" / "history" / "dsr_sub_history.jsonl.gz"
EARLY, BASELINE, OUTCOME = slice(0, 2), slice(2, 6), slice(38, 44)
SEEN = 16  # rollouts behind readings 0 and 1
BUDGETS, ENDS = (0.1, 0.2, 0.3), (0.025, 0.975)
TIE_BREAKS, DRAWS = 10, 2000
FOLDS, REPEATS = 10, 5
PILOTS, DIVISIONS = (60, 120, 300, 600), 100
ALSO_TRIED = 1  # boosted trees: about as good as ridge, dropped, but counted as a test
REFERENCE, EVERYTHING = "p(1-p)", "ridge: p, slope, 7B, text"
#: Mean gain of the top 20 %, from an earlier analysis.
MARKS = {"p(1-p)": 0.200, "random": 0.103, "easiest": 0.058, "hardest": 0.017,
         "variance, whole history": 0.287}  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """The problems; arrays have one entry per problem."""

    ids: list[str]
    history: np.ndarray  # (n, e), NaN after a problem's last reading
    early: np.ndarray  # the success rate in readings 0 and 1
    gain: np.ndarray  # improvement by the training
    strong: np.ndarray  # a 7B model's pass rate, estimated from the early rate if unknown
    strong_known: np.ndarray
    texts: np.ndarray  # (n, f)


@dataclass(frozen=True)
class Rule:
    """A score per problem, higher is better; None for a random choice."""

    name: str
    kind: str
    scores: np.ndarray | None


def load() -> Pool:
    """Read the record."""
    if not DATA.exists():
        sys.exit(f"got no {DATA}\n  expected: one-shot RLVR's record\n  to do: put it there")
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    history = np.full((len(rows), max(len(row["acc_history"]) for row in rows)), np.nan)
    for i, row in enumerate(rows):
        history[i, : len(row["acc_history"])] = row["acc_history"]
    early = history[:, EARLY].mean(1)
    strong = np.array([row["pass_rate_qwen25_math_7b_128"] for row in rows], dtype=float)
    known = ~np.isnan(strong)
    guess = np.polyval(np.polyfit(early[known], strong[known], 2), early)
    return Pool(
        ids=[row["id"] for row in rows],
        history=history,
        early=early,
        gain=history[:, OUTCOME].mean(1) - history[:, BASELINE].mean(1),
        strong=np.where(known, strong, guess.clip(0, 1)),
        strong_known=known,
        texts=np.array([text_features(row["problem"], row["answer"]) for row in rows]),
    )


def text_features(problem: str, answer: str) -> list[float]:
    """Return features of the text; the last one is whether the answer is a number."""
    digits, commands = re.findall(r"\d", problem), re.findall(r"\\[a-zA-Z]+", problem)
    lengths = [len(problem), 1 + len(digits), 1 + len(commands), 1 + len(answer)]
    marks = ["$" in problem, "[asy]" in problem, "(1)" in problem or "(I)" in problem]
    fraction = "\\frac" in answer or "/" in answer
    number = re.fullmatch(r"[-+]?[\d,]*\.?\d+", answer.strip("$ ")) is not None
    return [*np.log(lengths), *map(float, marks), float(fraction), float(number)]


def known_rules(pool: Pool) -> list[Rule]:
    """Return the rules in use, and the references that see the future."""
    early = pool.early
    seen = Candidates(learnability(early), np.zeros_like(early), early, random_keys(pool.ids, 0))
    return [
        Rule("random", "known", None),
        Rule("p(1-p)", "known", METHODS["learnability"].score(seen)),
        Rule("band 0.2 to 0.8", "known", METHODS["band"].score(seen)),
        Rule("easiest", "known", early),
        Rule("hardest", "known", -early),
        Rule("LIMR, readings 0-1", "known", limr(pool.history[:, EARLY])),
        Rule("variance, readings 0-1", "known", history_variance(pool.history[:, EARLY])),
        Rule("LIMR, whole history", "future", limr(pool.history)),
        Rule("variance, whole history", "future", history_variance(pool.history)),
        Rule("the gain itself", "future", pool.gain),
    ]


def shifted(early: np.ndarray, shift: float) -> np.ndarray:
    """Return the expected rise when each problem's log odds rise by ``shift``, Jeffreys prior."""
    posterior = stats.beta(SEEN * early[:, None] + 0.5, SEEN * (1 - early[:, None]) + 0.5)
    rate = posterior.ppf((np.arange(200) + 0.5) / 200)
    return (rate / (rate + (1 - rate) * np.exp(-shift)) - rate).mean(1)


def fitted_beta(early: np.ndarray) -> tuple[float, float]:
    """Fit a Beta distribution to the success rates by moments, corrected for sampling noise."""
    mean = early.mean()
    noise = (early * (1 - early)).mean() / (SEEN - 1)
    size = mean * (1 - mean) / (early.var() - noise) - 1
    return mean * size, (1 - mean) * size


def expected_learnability(early: np.ndarray, prior: tuple[float, float]) -> np.ndarray:
    """Return E[p(1-p)] under the Beta posterior."""
    correct, wrong = SEEN * early + prior[0], SEEN * (1 - early) + prior[1]
    return correct * wrong / ((correct + wrong) * (correct + wrong + 1))


def unsupervised_rules(pool: Pool) -> list[Rule]:
    """Return the new rules that need no training."""
    p, strong = pool.early, pool.strong
    value = learnability(p)
    low, high = jeffreys_interval(SEEN * p, SEEN)
    tries = {
        "E[p(1-p)], Jeffreys": expected_learnability(p, (0.5, 0.5)),
        "sqrt(p(1-p))": np.sqrt(value),
        "E[p(1-p)], Beta of the pool": expected_learnability(p, fitted_beta(p)),
        "highest p(1-p) of the interval": learnability(np.clip(0.5, low, high)),
        "lowest p(1-p) of the interval": np.minimum(learnability(low), learnability(high)),
        "p(1-p)^2": p * (1 - p) ** 2,
        "p(1-p)^3": p * (1 - p) ** 3,
        "p^2(1-p)": p**2 * (1 - p),
        "rise at log odds + 1": shifted(p, 1.0),
        "rise at log odds + 2": shifted(p, 2.0),
        "reading 1 - reading 0": pool.history[:, 1] - pool.history[:, 0],
        "p(1-p), a third of p from 7B": learnability((2 * p + strong) / 3),
        "p(1-p) x 7B": value * strong,
        "p(1-p)(1 + 7B - p)": value * (1 + strong - p),
        "7B - p": strong - p,
        "p(1-p), halved unless a number": value * (1 + pool.texts[:, -1]) / 2,
        "p(1-p), ties to the shorter": value - 1e-6 * pool.texts[:, 0],
    }
    return [Rule(name, "unsupervised", scores) for name, scores in tries.items()]


def ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Fit a ridge regression (penalty 10, standardised features) and predict ``new``."""
    mean, scale = x.mean(0), x.std(0) + 1e-12
    unit = (x - mean) / scale
    weights = np.linalg.solve(unit.T @ unit + 10 * np.eye(x.shape[1]), unit.T @ (y - y.mean()))
    return y.mean() + (new - mean) / scale @ weights


def out_of_fold(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Predict each problem by fits on the other folds; the mean over REPEATS random divisions."""
    rng, predictions = np.random.default_rng(0), np.zeros(len(y))
    for _ in range(REPEATS):
        fold = rng.permutation(len(y)) % FOLDS
        for k in range(FOLDS):
            predictions[fold == k] += ridge(x[fold != k], y[fold != k], x[fold == k]) / REPEATS
    return predictions


def features(pool: Pool) -> dict[str, np.ndarray]:
    """Return the supervised rules' features, available after readings 0 and 1; (n, f) each."""
    p, strong = pool.early[:, None], pool.strong[:, None]
    powers, slope = p ** np.arange(1, 5), np.diff(pool.history[:, EARLY], axis=1)
    seven = np.hstack([strong, strong**2, pool.strong_known[:, None]])
    both = np.hstack([powers, seven, strong * p])
    return {
        "ridge: p": powers,
        "ridge: p, 7B": both,
        "ridge: p, text": np.hstack([powers, pool.texts]),
        EVERYTHING: np.hstack([both, slope, pool.texts]),
        "ridge: 7B, text, no rollouts": np.hstack([seven, pool.texts]),
    }


def resampled_gains(
    rule: Rule, pool: Pool, tie_breaks: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the mean gain of a rule's selection, for each row of problem ``counts``."""
    sizes = [budget_count(budget, len(pool.ids)) for budget in BUDGETS]
    if rule.scores is None:
        return np.tile(counts @ pool.gain / len(pool.ids), (len(sizes), 1))
    gains = np.zeros((len(sizes), len(counts)))
    for ties in tie_breaks:
        order = ranking(rule.scores, ties)[: 2 * max(sizes)]
        here = counts[:, order]
        until = here.cumsum(1)
        assert (until[:, -1] >= max(sizes)).all()
        for j, size in enumerate(sizes):
            taken = np.clip(size - (until - here), 0, here)
            gains[j] += taken @ pool.gain[order] / size
    return gains / len(tie_breaks)


def compared(rules: list[Rule], pool: Pool) -> list[dict[str, Any]]:
    """Return each rule's gain at each budget, and its difference from p(1-p), with intervals."""
    num = len(pool.ids)
    draws = np.random.default_rng(0).multinomial(num, np.full(num, 1 / num), DRAWS)
    counts = np.vstack([np.ones(num, int), draws]).astype(np.int32)
    tie_breaks = np.array([random_keys(pool.ids, seed) for seed in range(TIE_BREAKS)])
    gains = {rule.name: resampled_gains(rule, pool, tie_breaks, counts) for rule in rules}
    rows: list[dict[str, Any]] = []
    for rule in rules:
        gaps = gains[rule.name] - gains[REFERENCE]
        for budget, gain, gap in zip(BUDGETS, gains[rule.name], gaps, strict=True):
            error = gap[1:].std()
            chance = 2 * stats.norm.sf(abs(gap[0]) / error) if error > 1e-9 else 1.0
            rows.append({
                "table": "gain", "method": rule.name, "kind": rule.kind, "budget": budget,
                "gain": gain[0], "interval": np.quantile(gain[1:], ENDS).tolist(),
                "difference": gap[0], "difference_interval": np.quantile(gap[1:], ENDS).tolist(),
                "p": float(chance), "mark": MARKS.get(rule.name) if budget == 0.2 else None,
            })  # fmt: skip
    tries = [row for row in rows if row["kind"] in ("unsupervised", "supervised")]
    least = 0.0
    for rank, row in enumerate(sorted(tries, key=lambda row: row["p"])):  # Holm's step-down
        least = max(least, row["p"] * (len(tries) + ALSO_TRIED * len(BUDGETS) - rank))
        row["p_holm"] = min(1.0, least)
    return rows


def pilots(pool: Pool) -> list[dict[str, Any]]:
    """Fit on the gains of some problems and select 20 % of the others; compare with p(1-p)."""
    rng, x, gain, rows = np.random.default_rng(1), features(pool)[EVERYTHING], pool.gain, []
    for pilot in PILOTS:
        gains = []
        for division in range(DIVISIONS):
            order = rng.permutation(len(gain))
            fit, rest = order[:pilot], order[pilot:]
            ties = random_keys([pool.ids[i] for i in rest], division)
            both = ridge(x[fit], gain[fit], x[rest]), learnability(pool.early[rest])
            best = [rest[ranking(scores, ties)[: budget_count(0.2, len(rest))]] for scores in both]
            gains.append([gain[chosen].mean() for chosen in best])
        ours, theirs = np.array(gains).T
        rows.append({
            "table": "pilot", "fitted_on": pilot, "divisions": DIVISIONS, "gain": ours.mean(),
            "gain_learnability": theirs.mean(), "difference": (ours - theirs).mean(),
            "deviation": (ours - theirs).std(), "share_better": float((ours > theirs).mean()),
        })  # fmt: skip
    return rows


def by_rate(pool: Pool) -> list[dict[str, Any]]:
    """Return the gain by early rate."""
    groups = {rate: pool.gain[pool.early == rate] for rate in np.unique(pool.early).tolist()}
    return [
        {"table": "by early rate", "rate": rate, "problems": len(gains), "gain": gains.mean(),
         "error": stats.sem(gains)} for rate, gains in groups.items()
    ]  # fmt: skip


def main() -> None:
    """Score, select and compare."""
    begin = time.monotonic()
    pool = load()
    fits = {name: out_of_fold(x, pool.gain) for name, x in features(pool).items()}
    supervised = [Rule(name, "supervised", scores) for name, scores in fits.items()]
    rows = compared(known_rules(pool) + unsupervised_rules(pool) + supervised, pool)
    middle = {row["method"]: row for row in rows if row["budget"] == 0.2}
    figures = {
        name: Figure(row["gain"], "gain of 20 %", "higher", float(np.ptp(row["interval"])) / 2)
        for name, row in middle.items()
    }
    tries = [row for row in rows if "p_holm" in row]
    above = [row for row in tries if row["difference_interval"][0] > 0]
    counted = {
        "corrected for": len(tries) + ALSO_TRIED * len(BUDGETS),
        "better than p(1-p), interval above 0": len(above),
        "better after Holm": sum(row["p_holm"] < 0.05 for row in above),
    }
    figures |= {name: Figure(count, "comparisons", "higher") for name, count in counted.items()}
    publish("histories", begin, figures, rows + pilots(pool) + by_rate(pool))


if __name__ == "__main__":
    main()
