"""Detecting the columns of the prompt, the answer and the rest, unless the user names them."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.nested import empty, has, parsed, value

Rows = Sequence[Mapping[str, Any]]
#: Known names, in lower case with underscores; the others count where none of the first is there.
_PROMPTS = ("problem", "question", "prompt", "messages", "query", "input", "instruction")
_OTHER_PROMPTS = ("conversations", "conversation")
_ANSWERS = ("answer", "ground_truth", "expected_answer", "final_answer", "solution", "label")
_OTHER_ANSWERS = (
    *("correct_answer", "answer_key", "answerkey", "answers"),
    *("gold", "gold_answer", "golden_answers", "target", "gt", "gts"),
)
#: Names that a gold alone has: beside a model's answers they go first.
_GOLDS = ("gold", "golds", "gold_answer", "golden_answers", "gt", "gts")
#: What a model said, in recorded rollouts and in files to be judged; there the others count too.
COMPLETIONS = (
    *("completion", "completions", "response", "responses", "output", "outputs"),
    *("generation", "generations", "pass_rate_generations"),
)
_OTHER_COMPLETIONS = (
    *("solution_str", "model_output", "model_outputs", "generated_text"),
    *("prediction", "predictions"),
)
_VERIFIERS = ("verifier", "kind")
_SOURCES = ("data_source", "source", "dataset", "type", "subject", "category")
_DIFFICULTIES = ("difficulty", "level")
_IDS = ("id", "problem_id", "unique_id", "uid")
#: Columns without which a question is not whole.
_CONTEXTS = ("body", "context", "passage", "premise", "story")
#: Columns inside which trainers keep the gold.
_PARENTS = ("reward_model", "reward_spec", "verification_info", "verifier_metadata")
#: Where NeMo-Gym keeps the prompt.
GYM_REQUEST = "responses_create_params"
GYM_PROMPT = f"{GYM_REQUEST}.input"
#: Rows of a source that are looked at for the names of its columns.
LOOKED_AT = 1000


@dataclass(frozen=True)
class Columns:
    """Dotted names of the columns that are read; None if missing."""

    prompt: str | None
    answer: str | None
    id: str | None = None
    source: str | None = None
    difficulty: str | None = None


def recognise(rows: Rows, config: DataConfig, *, place: str, needs_answer: bool = True) -> Columns:
    """Find the columns of a source from its first thousand rows; what the user named goes first.

    verl's, SkyRL's and NeMo-Gym's rows are known as a whole. Otherwise there must be exactly one
    column that can be the prompt and one that can be the answer, where ``answer`` beside
    ``solution`` is the answer, columns with the same contents are one, and columns without contents
    count where there is no other. Capital letters do not matter.

    Raises:
        LearnAlignError: if a named column is in no row (the nearest are named), or if there is not
            exactly one column that it can be.

    Example:
        >>> recognise([{"Question": "1+1?"}, {"Answer": "2"}], DataConfig(), place="x.jsonl")
        Columns(prompt='Question', answer='Answer', id=None, source=None, difficulty=None)
    """
    named = {
        "prompt": config.prompt_column,
        "answer": config.answer_column,
        "id": config.id_column,
        "source": config.source_column,
        "difficulty": config.difficulty_column,
    }
    looked_at = rows[:LOOKED_AT]
    for role, name in named.items():
        if name is not None:
            _check(rows, looked_at, name, f"--{role}-column", place)
    seen = _Seen(looked_at, place)
    found: dict[str, Any] = {"prompt": named["prompt"] or seen.prompt()}
    if needs_answer and named["answer"] is None:
        found["answer"] = seen.answer(found["prompt"])
    known = {
        "id": seen.first(_IDS, str | int),
        "source": seen.first(_SOURCES, str),
        "difficulty": seen.first(_DIFFICULTIES, str | int),
    }
    given = {role: name for role, name in named.items() if name is not None}
    chosen: dict[str, Any] = {"answer": None, **known, **found, **given}
    return Columns(**chosen)


@dataclass(frozen=True)
class AnsweredColumns:
    """Dotted names of the columns of a file of completions beside their golds."""

    completion: str
    answer: str
    prompt: str | None = None
    verifier: str | None = None


def recognise_answered(
    rows: Rows,
    config: DataConfig,
    *,
    place: str,
    completion: str | None = None,
    against: str | None = None,
) -> AnsweredColumns:
    """Find what a model said, the gold and, if they are there, the prompt and the verifier's name.

    Each column is one thing alone: what the user named is nothing else besides.

    Args:
        rows: Of one source.
        config: Its named columns go first.
        place: Of the source, for errors.
        completion: Column that the user named.
        against: Column of the user's own verdicts.

    Raises:
        LearnAlignError: as `recognise`; for the prompt, which may be missing, the first known name
            is taken.

    Example:
        >>> rows = [{"question": "1+1?", "answer": "2", "response": "It is 2."}]
        >>> recognise_answered(rows, DataConfig(), place="x.jsonl")
        AnsweredColumns(completion='response', answer='answer', prompt='question', verifier=None)
    """
    named = {
        "--completion-column": completion,
        "--answer-column": config.answer_column,
        "--prompt-column": config.prompt_column,
        "--against": against,
    }
    looked_at = rows[:LOOKED_AT]
    for flag, name in named.items():
        if name is not None:
            _check(rows, looked_at, name, flag, place)
    taken = {name for name in named.values() if name is not None}
    if completion is None:
        completion = _Seen(looked_at, place, taken).completion()
    seen = _Seen(looked_at, place, {*taken, completion})
    prompt = config.prompt_column or seen.asked()
    answer = config.answer_column or seen.gold(prompt)
    return AnsweredColumns(completion, answer, prompt, seen.first(_VERIFIERS, str))


class _Seen:
    """The columns of some rows, but for those that are taken for something already."""

    def __init__(self, rows: Rows, place: str, taken: Container[str] = ()) -> None:
        self.rows, self.place = rows, place
        self.all = list(dict.fromkeys(name for row in rows for name in row))
        self.names = [name for name in self.all if name not in taken]
        self.filled = [n for n in self.names if any(not empty(row.get(n)) for row in rows)]

    def prompt(self) -> str:
        if self._nested(GYM_REQUEST, ("input",)):
            return GYM_PROMPT
        found = self._only(self.filled, (_PROMPTS, _OTHER_PROMPTS), "prompt")
        beside = self.contexts(found)
        if beside:
            raise LearnAlignError(
                f"{self.place} has the column '{beside[0]}' beside '{found}', which may need it",
                expected="one column with the whole question",
                do=f"give --prompt-column {found} if it does not; if it does, add --template "
                f"'{{{{ row.{beside[0]} }}}} {{{{ question }}}}'",
            )
        return found

    def contexts(self, prompt: str) -> list[str]:
        """Name the columns that a question may need and that are not shown."""
        return [name for name in self.filled if _usual(name) in _CONTEXTS and name != prompt]

    def completion(self) -> str:
        return self._only(self.filled, (COMPLETIONS, _OTHER_COMPLETIONS), "completion")

    def asked(self) -> str | None:
        """Name the first column that may be the prompt; None if there is none."""
        if self._nested(GYM_REQUEST, ("input",)):
            return GYM_PROMPT
        known = (*_PROMPTS, *_OTHER_PROMPTS)
        return next((n for name in known for n in self.filled if _usual(n) == name), None)

    def gold(self, prompt: str | None) -> str:
        """Name the gold's column where a model's answers stand beside it."""
        golds = [n for name in _GOLDS for n in self.filled if _usual(n) == name and n != prompt]
        return self._one(golds, "answer", _GOLDS) if golds else self.answer(prompt)

    def answer(self, prompt: str | None) -> str:
        inside = [
            f"{name}.{child}"
            for name in self.filled
            if _usual(name) in _PARENTS
            for child in self._nested(name, (*_ANSWERS, *_OTHER_ANSWERS))
        ]
        trainers = [
            name for name in inside if name.split(".")[0] in ("reward_model", "reward_spec")
        ]
        if trainers or (inside and prompt == GYM_PROMPT):
            return self._one(trainers or inside, "answer", (*_ANSWERS,))
        names = [name for name in self.filled if name != prompt]
        if any(_usual(name) == "answer" for name in names):
            names = [name for name in names if _usual(name) != "solution"]
        known = {*_ANSWERS, *_OTHER_ANSWERS}
        if inside and not any(_usual(name) in known for name in names):
            return self._one(inside, "answer", (*_ANSWERS,))
        return self._only(names, (_ANSWERS, _OTHER_ANSWERS), "answer")

    def first(self, candidates: tuple[str, ...], kind: Any) -> str | None:
        """Return the first known name whose values are of a kind."""
        for candidate in candidates:
            for name in self.filled:
                if _usual(name) == candidate and all(
                    isinstance(row.get(name), kind) or empty(row.get(name)) for row in self.rows
                ):
                    return name
        return None

    def _nested(self, name: str, children: tuple[str, ...]) -> list[str]:
        """Name the known children of a column that holds objects."""
        found = {child for row in self.rows for child in _keys(row.get(name))}
        return [child for child in children if child in found]

    def _only(self, names: Sequence[str], tiers: tuple[tuple[str, ...], ...], role: str) -> str:
        # A column without values counts where there is no other: each row then says what it lacks.
        blank = [name for name in self.names if name not in self.filled]
        for some in (names, blank):
            for known in tiers:
                found = [n for candidate in known for n in some if _usual(n) == candidate]
                if found:
                    return self._one(found, role, tiers[0])
        return self._one([], role, tiers[0])

    def _one(self, found: list[str], role: str, known: tuple[str, ...]) -> str:
        if found and all(
            value(row, name) == value(row, found[0]) for row in self.rows for name in found[1:]
        ):
            return found[0]
        seen = f"its columns are {', '.join(self.all)}"
        what = (
            f"{len(found)} that can be it ({', '.join(found)})" if found else "none of a known name"
        )
        raise LearnAlignError(
            f"cannot tell which column of {self.place} is the {role}: {what}; {seen}",
            expected=f"exactly one of {', '.join(known)}, or a flag",
            do=f"name it with --{role}-column",
        )


def _usual(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _keys(content: Any) -> list[str]:
    """Name the children of an object, also of one written as text."""
    if isinstance(content, str) and content.lstrip().startswith("{"):
        content = parsed(content)
    return [str(key) for key in content] if isinstance(content, Mapping) else []


def _check(rows: Rows, looked_at: Rows, name: str, flag: str, place: str) -> None:
    if any(has(row, name) for row in looked_at) or any(has(row, name) for row in rows):
        return
    top = dict.fromkeys(key for row in looked_at for key in row)
    inside = dict.fromkeys(
        f"{key}.{child}" for row in looked_at for key in row for child in _keys(row[key])
    )
    raise LearnAlignError(
        f"{place} has no column '{name}'",
        expected=f"a column of its rows: {nearest(name, [*top, *inside])}",
        do=f"correct {flag}",
    )
