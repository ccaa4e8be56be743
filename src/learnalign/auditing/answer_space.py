"""How many answers a problem allows: options, yes or no, or the few golds of its source."""

from collections import Counter
from collections.abc import Sequence

from learnalign.auditing.problem import Problem, answer_key
from learnalign.verifying.answers.options import options_in

_TRUTHS = (frozenset({"yes", "no"}), frozenset({"true", "false"}))
#: A source has few golds if two of at least so many problems have the same one so often.
_LEAST, _FEW = 50, 8.0


def answer_spaces(problems: Sequence[Problem]) -> list[int | None]:
    """Return each problem's number of possible answers; None if it is open.

    It is the number of options in the question, 2 for yes or no, and for sources of at least 50
    problems the effective number of their golds (1 / the chance that two problems have the same
    gold), if that is at most 8.

    Example:
        >>> ask = lambda question, gold: Problem("", "s", None, question, gold, ())
        >>> answer_spaces([ask("Is 7 prime?", "Yes"), ask("2 + 2?", "4"),
        ...     ask("2 + 2 is (A) 3 (B) 4 (C) 5", "B")])
        [2, None, 3]
    """
    by_source: dict[str, Counter[str]] = {}
    for problem in problems:
        by_source.setdefault(problem.source, Counter())[problem.gold_key] += 1
    few = {source: _effective(golds) for source, golds in by_source.items()}
    return [_listed(problem) or few[problem.source] for problem in problems]


def _listed(problem: Problem) -> int | None:
    if any(problem.gold_key in truths for truths in _TRUTHS):
        return 2
    options = options_in(problem.question)
    return len(options) if chosen_option(problem, options) is not None else None


def chosen_option(problem: Problem, options: dict[str, str]) -> str | None:
    """Return the text of the option that the gold names, or is; None if it is no option.

    Example:
        >>> problem = Problem("", "", None, "2 + 2 is (A) 3 (B) 4", "{(B)}", ())
        >>> chosen_option(problem, options_in(problem.question))
        '4'
    """
    letter = problem.gold.strip(" (){}.$").upper()
    if letter in options:
        return options[letter]
    return next((t for t in options.values() if answer_key(t) == problem.gold_key), None)


def _effective(golds: Counter[str]) -> int | None:
    total = sum(golds.values())
    if total < _LEAST:
        return None
    effective = total**2 / sum(count**2 for count in golds.values())
    return max(2, round(effective)) if effective <= _FEW else None
