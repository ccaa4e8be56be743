"""reasoning-gym's own scorers: a real-valued reward for each completion."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.problems.gym import is_gym_row
from learnalign.verifying.answers.extraction import marked
from learnalign.verifying.evaluation_guard import is_plain_value
from learnalign.verifying.judgement import CORRECT, WRONG, Judgement, unparsed
from learnalign.verifying.question import Question

Entry = Mapping[str, Any]

#: Generators whose scorers pass text to Python's ``eval`` or to SymPy's ``parse_expr``, which is
#: ``eval`` too.
_EVALUATED = frozenset(
    {
        "binary_matrix",
        "bitwise_arithmetic",
        "countdown",
        "intermediate_integration",
        "n_queens",
        "number_sorting",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
        "spiral_matrix",
        "string_insertion",
    }
)
#: What such scorers evaluate of an entry's metadata, besides the two answers.
_EVALUATED_METADATA = ("integrand", "problem")


def load() -> None:
    """Import reasoning-gym.

    Raises:
        LearnAlignError: if it is not installed.
    """
    try:
        import reasoning_gym  # noqa: F401
    except ImportError as error:
        raise LearnAlignError(
            f"the verifier reasoning_gym needs its package ({error})",
            do="pip install 'learnalign[gym]'",
        ) from error


def parse_gold(gold: str, question: Question) -> Entry | None:
    """Return the whole entry, since a scorer may read all of its metadata.

    An entry from a file has lists where some generators have tuples, and their scorers distinguish
    the two. The form that accepts the entry's own answer is returned; None for an entry that the
    scorer would run as code.
    """
    row = question.row
    if not is_gym_row(row):
        return None
    entry = {**row, "answer": gold or row.get("answer")}
    if _is_code(entry, gold, entry["answer"], *map(row["metadata"].get, _EVALUATED_METADATA)):
        return None
    tupled: Entry = {**entry, "metadata": _with_tuples(row["metadata"])}
    return next((version for version in (entry, tupled) if _score(version, gold) >= 1.0), entry)


def judge(entry: Entry, completion: str) -> Judgement:
    """Score the marked answer, or the whole completion without one; a full score is correct.

    reasoning-gym gives partial credit; its scores are the rewards.
    """
    answer = marked(completion)
    answer = completion.strip() if answer is None else answer
    if not answer:
        return unparsed()
    if _is_code(entry, answer):
        return unparsed("an answer that reasoning-gym's scorer would run as code")
    score = _score(entry, answer)
    return Judgement(CORRECT if score >= 1.0 else WRONG, score, answer)


def _is_code(entry: Entry, *texts: Any) -> bool:
    """Return whether the entry's scorer evaluates text, and one of these is more than a value."""
    if entry["metadata"]["source_dataset"] not in _EVALUATED:
        return False
    return not all(is_plain_value(text) for text in texts if isinstance(text, str))


def _score(entry: Entry, answer: str) -> float:
    return float(_scorer(entry["metadata"]["source_dataset"])(answer, entry))


@cache
def _scorer(name: str) -> Callable[[str, Entry], float]:
    """Create a generator's scorer; some take seconds to load their data."""
    from reasoning_gym import get_score_answer_fn

    scorer: Callable[[str, Entry], float] = get_score_answer_fn(name)
    return scorer


def _with_tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _with_tuples(item) for key, item in value.items()}
    return value
