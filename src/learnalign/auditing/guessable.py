"""``guessable``: few possible answers, and a success rate that guessing explains."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from learnalign.auditing.answer_space import answer_spaces
from learnalign.auditing.finding import Finding
from learnalign.auditing.problem import Problem
from learnalign.reporting.formatting import percent

Floats = NDArray[np.float64]
#: The posterior from which a problem is listed.
LISTED = 0.5
#: How much a problem's guesses keep to the group's shares: low if a problem has a favourite.
_KAPPA = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 32.0])
#: Success rates of a problem that is known, as parts of the way from chance to 1.
_KNOWN = np.array([0.4, 0.6, 0.8, 0.9, 0.98])
_ITERATIONS = 100


def guessable(problems: Sequence[Problem]) -> list[Finding]:
    """Find problems with few possible answers whose rewards probably come from guessing.

    Problems of a source with as many possible answers (`answer_space`) are a group. Two
    explanations of a problem's answers are compared. Guessed: they are drawn with the shares that
    all answers of the group have, whatever the question (Dirichlet-multinomial). Known: the gold
    is more frequent, by at least 0.4 of the way from its share to 1, and the others are drawn with
    their shares. How many are
    guessed, how much a problem keeps to one guess, and how well the others are known is fitted to
    the group. The score is the posterior of guessed; problems that were never rewarded are not
    listed.

    Example:
        >>> from learnalign.auditing.problem import Answer
        >>> def ask(i):
        ...     gold, said = ("yes", "no")[i % 2], ["yes", "no"] * 2
        ...     answers = (Answer(j, key, key == gold, key == gold, False)
        ...                for j, key in enumerate(said))
        ...     return Problem(f"p{i}", "s", None, "Is it?", gold, tuple(answers))
        >>> found = guessable([ask(i) for i in range(20)])
        >>> len(found), found[0].evidence
        (20, "2 of 4 rollouts rewarded; 2 possible answers, of which the model gives 'yes' in 50 %")
    """
    groups: dict[tuple[str, int], list[Problem]] = {}
    for problem, space in zip(problems, answer_spaces(problems), strict=True):
        if space is not None and problem.counts:
            groups.setdefault((problem.source, space), []).append(problem)
    found = []
    for (_, space), members in groups.items():
        posterior, shares = _fit(members)
        for problem, score in zip(members, posterior.tolist(), strict=True):
            rewarded = sum(answer.rewarded is True for answer in problem.answers)
            if score >= LISTED and rewarded:
                gold = problem.gold_key
                evidence = (
                    f"{rewarded} of {len(problem.answers)} rollouts rewarded; {space} possible "
                    f"answers, of which the model gives '{gold}' in {percent(shares[gold])}"
                )
                sample = next(a.sample for a in problem.answers if a.rewarded)
                found.append(Finding(problem.problem_id, score, evidence, sample=sample))
    return found


def _fit(members: list[Problem]) -> tuple[Floats, dict[str, float]]:
    """Return the posterior of guessed for each problem, and the answers' shares in the group."""
    counts = [problem.counts for problem in members]
    total: Counter[str] = sum(counts, Counter())
    total.update(problem.gold_key for problem in members)  # no gold has a share of 0
    shares = {key: count / total.total() for key, count in total.items()}
    pairs = list(zip(members, counts, strict=True))
    # (m, 1 + rates, kappa): the likelihood if guessed, and if known at each rate.
    logs = np.array([_logs(problem.gold_key, count, shares) for problem, count in pairs])
    likelihood = np.exp(logs - logs.max(axis=(1, 2), keepdims=True))
    weights = prior = np.array([0.5, *np.full(len(_KNOWN), 0.5 / len(_KNOWN))])
    kappa = np.full(len(_KAPPA), 1 / len(_KAPPA))
    posterior = np.zeros(len(members))
    for _ in range(_ITERATIONS):
        joint = likelihood * weights[:, None] * kappa
        joint /= joint.sum(axis=(1, 2), keepdims=True)
        posterior = joint[:, 0].sum(axis=1)
        # As if two more problems had been seen: one guessed, one known at any rate.
        weights = joint.sum(axis=(0, 2)) + 2 * prior
        weights /= weights.sum()
        kappa = joint.sum(axis=(0, 1)) + 1 / len(_KAPPA)
        kappa /= kappa.sum()
    return posterior, shares


def _logs(gold: str, counts: Counter[str], shares: dict[str, float]) -> Floats:
    """Return the log likelihoods of a problem's answers, (1 + rates, kappa)."""
    others = Counter({key: count for key, count in counts.items() if key != gold})
    chance = shares[gold]
    rates = chance + _KNOWN * (1 - chance)
    rest = {key: share / (1 - chance) for key, share in shares.items() if key != gold}
    known = counts[gold] * np.log(rates) + others.total() * np.log1p(-rates)
    return np.vstack([_dirichlet(counts, shares), known[:, None] + _dirichlet(others, rest)])


def _dirichlet(counts: Counter[str], shares: dict[str, float]) -> Floats:
    """Return the log Dirichlet-multinomial probability of a sequence of answers, by kappa."""
    logs = gammaln(_KAPPA) - gammaln(_KAPPA + counts.total())
    for key, count in counts.items():
        prior = _KAPPA * shares[key]
        logs = logs + gammaln(prior + count) - gammaln(prior)
    return np.asarray(logs, dtype=np.float64)
