"""Choosing the verifier of a problem: the requested one, or one that fits its gold and prompt."""

import ast
import re

from learnalign.problems.gym import is_gym_row
from learnalign.problems.suites.registry import is_tests
from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.notation import spelled, without_wording
from learnalign.verifying.answers.options import options_in
from learnalign.verifying.answers.readings import readings
from learnalign.verifying.answers.times import read_time
from learnalign.verifying.answers.values import Choice, Scalar, Words
from learnalign.verifying.guards import MAX_CHARACTERS
from learnalign.verifying.question import Question

#: The built-in verifiers; the alternative is a user's own function.
KINDS = (
    *("auto", "math", "number", "choice", "words", "time", "code", "text", "program"),
    "reasoning_gym",
)
_MARKED = re.compile(r"\\(?:boxed|fbox)|<answer>|####")
_LONGEST = 500
_ASKS_FOR_TIME = re.compile(
    r"\b(?:what time|when|clock|o'?clock|a\.?m\.?|p\.?m\.?|date)\b", re.IGNORECASE
)
_CODE = re.compile(
    r"```|^\s*(?:def|class|import|from|assert|return|print|for|while|if)\b.*[:(]?", re.MULTILINE
)


def route(kind: str, question: Question) -> str:
    r"""Return the verifier of a problem: the requested one, or the choice of ``auto``.

    ``auto`` looks at the golds: tests need a program; a letter is a choice if the prompt lists
    options (or in the form ``(B)``); a clock time or a date is a time; a single number is a number;
    Python strings, dicts, lists of strings and programs are code; words are words; anything else is
    math, and so are golds of different kinds.

    Example:
        >>> [route("auto", Question((gold,))) for gold in ("12", r"\frac{x}{2}", "yes", "2:30 pm")]
        ['number', 'math', 'words', 'time']
        >>> question = Question(("B",), "Which? (A) a cat (B) a dog")
        >>> route("auto", question), route("text", question)
        ('choice', 'text')
    """
    if kind != "auto":
        return kind
    if is_gym_row(question.row):
        return "reasoning_gym"
    if all(map(is_tests, question.golds)):
        return "program"
    kinds = {_kind_of(gold, question.prompt) for gold in question.golds[:8]}
    return kinds.pop() if len(kinds) == 1 else "math"


def _kind_of(gold: str, prompt: str) -> str:
    text = gold.strip()
    if not text or _MARKED.search(text) or len(text) > _LONGEST:
        return "code" if _CODE.search(text) and not _MARKED.search(text) else "math"
    plain = trimmed(without_wording(spelled(text)))
    options = options_in(prompt)
    if options and _is_an_option(plain, options):
        return "choice"
    if re.fullmatch(r"\([A-J]\)", plain):
        return "choice"
    if _is_python_value(text) or (_CODE.search(text) and "\n" in text):
        return "code"
    time = read_time(plain)
    if time is not None and (":" not in plain or _ASKS_FOR_TIME.search(f"{plain} {prompt}")):
        return "time"
    values = [value for value in readings(text) if not isinstance(value, Choice)]
    if values and all(isinstance(value, Words) for value in values):
        return "words"
    if len(values) == 1 and isinstance(values[0], Scalar) and values[0].number is not None:
        return "number"
    return "math"


def _is_python_value(text: str) -> bool:
    """Return whether a text is a Python literal and not mathematics: it contains strings."""
    if not re.match(r"[\[({'\"b]|None$", text) or len(text) > MAX_CHARACTERS:
        return False
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    if not isinstance(value, list | tuple | set):
        return isinstance(value, str | bytes | dict) or value is None
    return value == [] or "'" in repr(value)


def _is_an_option(plain: str, options: dict[str, str]) -> bool:
    letter = re.fullmatch(r"\(?([A-J])\)?(?:[.:)].*)?", plain, re.DOTALL)
    return letter is not None and letter[1] in options
