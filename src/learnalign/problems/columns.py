"""Detecting the columns of prompt, answer and metadata, unless the user names them."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.nested import empty, has, parsed, value
from learnalign.problems.suites.registry import tests_columns

Rows = Sequence[Mapping[str, Any]]
#: Known names, in lower case with underscores; _OTHER_ names are used only without one of these.
_PROMPTS = ("problem", "question", "prompt", "messages", "query", "input", "instruction")
_OTHER_PROMPTS = ("conversations", "conversation")
_ANSWERS = ("answer", "ground_truth", "expected_answer", "final_answer", "solution", "label")
_OTHER_ANSWERS = (
    *("correct_answer", "answer_key", "answerkey", "answers"),
    *("gold", "gold_answer", "golden_answers", "target", "gt", "gts"),
)
#: Names that only a gold has: next to a model's answers they take precedence.
_GOLDS = ("gold", "golds", "gold_answer", "golden_answers", "gt", "gts")
#: Names of completion columns; files to judge may also use _OTHER_COMPLETIONS.
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
#: Columns that a question may be incomplete without.
_CONTEXTS = ("body", "context", "passage", "premise", "story")
#: Columns that a model's answers have next to them.
_REWARDS = ("score", "scores", "reward", "rewards")
#: Columns in which trainers nest the gold.
_PARENTS = ("reward_model", "reward_spec", "verification_info", "verifier_metadata")
#: NeMo-Gym's column of the prompt.
GYM_REQUEST = "responses_create_params"
GYM_PROMPT = f"{GYM_REQUEST}.input"
#: Number of rows of a source that are inspected for column names.
INSPECTED_ROWS = 1000


@dataclass(frozen=True)
class Columns:
    """Dotted names of the columns to read; None if missing."""

    prompt: str | None
    answer: str | None
    id: str | None = None
    source: str | None = None
    difficulty: str | None = None


def recognise(
    rows: Rows, config: DataConfig, *, location: str, needs_answer: bool = True
) -> Columns:
    """Find the columns of a source from its first thousand rows; columns the user named win.

    The formats of verl, SkyRL, NeMo-Gym and NeMo-RL are known. In other rows there must be exactly
    one candidate for the prompt and one for the answer: ``answer`` wins over ``solution``, columns
    with equal values count as one, and empty columns are used only if there is no other. Case is
    ignored.

    Raises:
        LearnAlignError: if a named column is missing (suggests the nearest), or without exactly one
            candidate.

    Example:
        >>> recognise([{"Question": "1+1?"}, {"Answer": "2"}], DataConfig(), location="x.jsonl")
        Columns(prompt='Question', answer='Answer', id=None, source=None, difficulty=None)
    """
    named = {
        "prompt": config.prompt_column,
        "answer": config.answer_column,
        "id": config.id_column,
        "source": config.source_column,
        "difficulty": config.difficulty_column,
    }
    inspected = rows[:INSPECTED_ROWS]
    for role, name in named.items():
        if name is not None:
            _check(rows, inspected, name, f"--{role}-column", location)
    finder = _Finder(inspected, location)
    tests, code_prompt = tests_columns(inspected) or (None, None)
    if named["prompt"] is None and code_prompt not in finder.filled:
        code_prompt = finder.prompt()
    required: dict[str, Any] = {"prompt": named["prompt"] or code_prompt}
    if needs_answer and named["answer"] is None:
        required["answer"] = tests or finder.answer(required["prompt"])
    optional = {
        "id": finder.first(_IDS, str | int),
        "source": finder.first(_SOURCES, str),
        "difficulty": finder.first(_DIFFICULTIES, str | int),
    }
    specified = {role: name for role, name in named.items() if name is not None}
    columns: dict[str, Any] = {"answer": None, **optional, **required, **specified}
    return Columns(**columns)


@dataclass(frozen=True)
class AnsweredColumns:
    """Dotted names of the columns of a file of completions and golds."""

    completion: str
    answer: str
    prompt: str | None = None
    verifier: str | None = None


def recognise_answered(
    rows: Rows,
    config: DataConfig,
    *,
    location: str,
    completion: str | None = None,
    against: str | None = None,
) -> AnsweredColumns:
    """Find the columns of the completion, the gold and, if present, the prompt and the verifier.

    A column has one role: a column that the user named is not used for another one.

    Args:
        rows: Rows of one source.
        config: Columns named here win.
        location: Name of the source, for errors.
        completion: Column of the completions, if the user named it.
        against: Column of the user's own verdicts.

    Raises:
        LearnAlignError: as `recognise`, except for the prompt: it may be missing, and the first
            known name is used.

    Example:
        >>> rows = [{"question": "1+1?", "answer": "2", "response": "It is 2."}]
        >>> recognise_answered(rows, DataConfig(), location="x.jsonl")
        AnsweredColumns(completion='response', answer='answer', prompt='question', verifier=None)
    """
    named = {
        "--completion-column": completion,
        "--answer-column": config.answer_column,
        "--prompt-column": config.prompt_column,
        "--against": against,
    }
    inspected = rows[:INSPECTED_ROWS]
    for flag, name in named.items():
        if name is not None:
            _check(rows, inspected, name, flag, location)
    taken = {name for name in named.values() if name is not None}
    if completion is None:
        completion = _Finder(inspected, location, taken).completion()
    finder = _Finder(inspected, location, {*taken, completion})
    tests, code_prompt = tests_columns(inspected) or (None, None)
    prompt = config.prompt_column or finder.optional_prompt() or code_prompt
    answer = config.answer_column or tests or finder.gold(prompt)
    return AnsweredColumns(completion, answer, prompt, finder.first(_VERIFIERS, str))


class _Finder:
    """Finds columns by name in some rows, except those that already have a role."""

    def __init__(self, rows: Rows, location: str, taken: Container[str] = ()) -> None:
        self.rows, self.location = rows, location
        self.all = list(dict.fromkeys(name for row in rows for name in row))
        self.names = [name for name in self.all if name not in taken]
        self.filled = [n for n in self.names if any(not empty(row.get(n)) for row in rows)]

    def prompt(self) -> str:
        if self._nested(GYM_REQUEST, ("input",)):
            return GYM_PROMPT
        prompt = self._only(self.filled, (_PROMPTS, _OTHER_PROMPTS), "prompt")
        contexts = self.contexts(prompt)
        if contexts:
            raise LearnAlignError(
                f"{self.location} has the column '{contexts[0]}' next to '{prompt}', and the "
                "question may be incomplete without it",
                expected="one column with the whole question",
                do=f"use --prompt-column {quote(prompt)} if it is complete; if not, also add "
                f"--template '{{{{ row.{contexts[0]} }}}} {{{{ question }}}}'",
            )
        return prompt

    def contexts(self, prompt: str) -> list[str]:
        """List the columns that a question may need but that are not shown to the model."""
        return [name for name in self.filled if _normalized(name) in _CONTEXTS and name != prompt]

    def completion(self) -> str:
        return self._only(self.filled, (COMPLETIONS, _OTHER_COMPLETIONS), "completion")

    def optional_prompt(self) -> str | None:
        """Return the first column that can be the prompt; None without one."""
        if self._nested(GYM_REQUEST, ("input",)):
            return GYM_PROMPT
        known = (*_PROMPTS, *_OTHER_PROMPTS)
        return next((n for name in known for n in self.filled if _normalized(n) == name), None)

    def gold(self, prompt: str | None) -> str:
        """Return the gold's column in a file that also has a model's answers."""
        golds = [
            n for name in _GOLDS for n in self.filled if _normalized(n) == name and n != prompt
        ]
        return self._one(golds, "answer", _GOLDS) if golds else self.answer(prompt)

    def answer(self, prompt: str | None) -> str:
        nested = [
            f"{name}.{child}"
            for name in self.filled
            if _normalized(name) in _PARENTS
            for child in self._nested(name, (*_ANSWERS, *_OTHER_ANSWERS))
        ]
        trainers = [
            name for name in nested if name.split(".")[0] in ("reward_model", "reward_spec")
        ]
        if trainers or (nested and prompt == GYM_PROMPT):
            return self._one(trainers or nested, "answer", (*_ANSWERS,))
        names = [name for name in self.filled if name != prompt]
        if any(_normalized(name) == "answer" for name in names):
            names = [name for name in names if _normalized(name) != "solution"]
        known = {*_ANSWERS, *_OTHER_ANSWERS}
        if nested and not any(_normalized(name) in known for name in names):
            return self._one(nested, "answer", (*_ANSWERS,))
        return self._nemo_rl(prompt, names) or self._only(
            names, (_ANSWERS, _OTHER_ANSWERS), "answer"
        )

    def _nemo_rl(self, prompt: str | None, names: Sequence[str]) -> str | None:
        """Return ``output`` in NeMo-RL's rows; next to a reward it is what a model answered."""
        others = {_normalized(name) for name in names}
        if prompt is None or _normalized(prompt) != "input" or "output" not in others:
            return None
        if others & {*_ANSWERS, *_OTHER_ANSWERS, *_PARENTS, *_REWARDS}:
            return None
        return next(name for name in names if _normalized(name) == "output")

    def first(self, candidates: tuple[str, ...], kind: Any) -> str | None:
        """Return the first candidate whose values have the given type."""
        for candidate in candidates:
            for name in self.filled:
                if _normalized(name) == candidate and all(
                    isinstance(row.get(name), kind) or empty(row.get(name)) for row in self.rows
                ):
                    return name
        return None

    def _nested(self, name: str, children: tuple[str, ...]) -> list[str]:
        """List the given children that occur in a column of objects."""
        keys = {child for row in self.rows for child in _keys(row.get(name))}
        return [child for child in children if child in keys]

    def _only(self, names: Sequence[str], tiers: tuple[tuple[str, ...], ...], role: str) -> str:
        # An empty column is used only without another: each row is then reported as missing.
        blank = [name for name in self.names if name not in self.filled]
        for columns in (names, blank):
            for known in tiers:
                matches = [n for candidate in known for n in columns if _normalized(n) == candidate]
                if matches:
                    return self._one(matches, role, tiers[0])
        return self._one([], role, tiers[0])

    def _one(self, candidates: list[str], role: str, known: tuple[str, ...]) -> str:
        if candidates and all(
            value(row, name) == value(row, candidates[0])
            for row in self.rows
            for name in candidates[1:]
        ):
            return candidates[0]
        count = len(candidates)
        why = f"{count} candidates ({', '.join(candidates)})" if count else "no known name"
        raise LearnAlignError(
            f"cannot tell which column of {self.location} is the {role}: {why}; its columns are "
            + ", ".join(self.all),
            expected=f"exactly one of {', '.join(known)}, or a flag",
            do=f"name it with --{role}-column",
        )


def _normalized(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _keys(content: Any) -> list[str]:
    """List the keys of an object, including an object written as text."""
    if isinstance(content, str) and content.lstrip().startswith("{"):
        content = parsed(content)
    return [str(key) for key in content] if isinstance(content, Mapping) else []


def _check(rows: Rows, inspected: Rows, name: str, flag: str, location: str) -> None:
    if any(has(row, name) for row in inspected) or any(has(row, name) for row in rows):
        return
    top = dict.fromkeys(key for row in inspected for key in row)
    nested = dict.fromkeys(
        f"{key}.{child}" for row in inspected for key in row for child in _keys(row[key])
    )
    raise LearnAlignError(
        f"{location} has no column '{name}'",
        expected=f"a column of its rows: {nearest(name, [*top, *nested])}",
        do=f"correct {flag}",
    )
