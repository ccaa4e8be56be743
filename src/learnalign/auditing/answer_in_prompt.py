r"""``answer-in-prompt``: questions that state their own answer.

A number of the question may equal the answer by chance, so that only two forms count: the gold
right after words that announce an answer (``Answer: 42``, ``\boxed{42}``, ``#### 42``), and a long
gold with numbers that stands in the question literally.
"""

import re
from collections.abc import Sequence

from learnalign.auditing.answer_space import answer_spaces
from learnalign.auditing.finding import Finding
from learnalign.auditing.problem import Problem, answer_key

_ANNOUNCED = re.compile(
    r"(?:\b(?:(?:final|correct|right)\s+)?(?:answer|solution|result|ans)\s*(?:is|are|was|[:=])+"
    r"|####|\\(?:boxed|fbox)(?=\{)|<answer>|答案\s*[是为]?\s*[::]?)[ \t*$\"'“(]*"
    r"(?:is[ \t]+)?",
    re.IGNORECASE,
)
#: What an announced answer consists of: a box's content, or the text up to a clause's end.
_VALUE = re.compile(r"\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}|([^\n,;?!<。]*)")
_CLAUSE = re.compile(r"\.(?=\s|$)|[*$\"'”)]")
#: What comes before an answer that holds on a condition, in the same sentence.
_CONDITION = re.compile(
    r"\b(?:if|when|unless|otherwise|suppose)\b[^.?!\n]*$|如果[^。]*$", re.IGNORECASE
)
#: What follows the first of several choices.
_ANOTHER = re.compile(r"\s*(?:[,/|]|or\b|and\b)", re.IGNORECASE)
_OPTIONS = re.compile(r"\(\s*A\s*\)|\\text\w*\{\s*\(?A\)?")
_REACH, _RARE = 200, 0.9
_LONG, _MARKUP = 12, re.compile(r"[\s$\\{}]|left|right|text|frac")


def stated_answers(problems: Sequence[Problem]) -> list[Finding]:
    r"""Find questions that state their own answer.

    The score of an announced answer is 1 / the number of different answers that the question
    announces (examples announce others). That of a literal one is half the share of the source's
    equally long golds that do not stand in their questions, and must be at least 0.45: where many
    do, the answer is meant to be taken from the text. Problems that list options or have few
    possible answers are left out.

    Example:
        >>> ask = lambda name, question: Problem(name, "s", None, question, "42", ())
        >>> pool = [ask("a", "What is 6 x 7? Answer: 42"), ask("b", "Add 42 and 0."),
        ...     ask("c", "Example: the answer is 3. What is 6 x 7? The answer is 42.")]
        >>> [(finding.problem_id, finding.score) for finding in stated_answers(pool)]
        [('a', 1.0), ('c', 0.5)]
    """
    spaces = answer_spaces(problems)
    open_problems = [p for p, space in zip(problems, spaces, strict=True) if space is None]
    found, literal = [], []
    for problem in open_problems:
        announced = _announced(problem.question)
        if problem.gold_key in announced:
            about = "" if len(announced) == 1 else f", and {len(announced) - 1} others"
            evidence = f"the question announces the gold '{problem.gold}' as an answer{about}"
            found.append(Finding(problem.problem_id, 1 / len(announced), evidence))
        elif _is_long(problem.gold) and not _OPTIONS.search(problem.question):
            literal.append(problem)
    by_source: dict[str, list[Problem]] = {}
    for problem in literal:
        by_source.setdefault(problem.source, []).append(problem)
    for members in by_source.values():
        holding = [problem for problem in members if _holds(problem)]
        share = 1 - len(holding) / len(members)
        for problem in holding:
            evidence = f"the gold '{problem.gold}' stands in the question literally"
            if share >= _RARE:
                found.append(Finding(problem.problem_id, share / 2, evidence))
    return found


def _announced(question: str) -> set[str]:
    """Return the keys of the answers that a question announces."""
    keys = set()
    for cue in _ANNOUNCED.finditer(question):
        value = _VALUE.match(question, cue.end())
        before = question[max(0, cue.start() - _REACH) : cue.start()]
        if value is None or _ANOTHER.match(question, value.end()) or _CONDITION.search(before):
            continue
        text = value[1] if value[1] is not None else _CLAUSE.split(value[2])[0]
        if text.strip():
            keys.add(answer_key(text))
    return keys


def _is_long(gold: str) -> bool:
    return len(_MARKUP.sub("", gold)) >= _LONG and re.search(r"[\d\\=]", gold) is not None


def _holds(problem: Problem) -> bool:
    question = "".join(problem.question.split())
    return "".join(problem.gold.split()) in question
