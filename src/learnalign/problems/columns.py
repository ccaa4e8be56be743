"""Which columns hold the prompt, the answer and the rest: recognised, or named by the user."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError, nearest

Messages = list[dict[str, str]]
_PROMPTS = ("problem", "question", "prompt", "messages", "query", "input", "instruction")
_ANSWERS = ("answer", "ground_truth", "expected_answer", "final_answer", "solution", "label")
_SOURCES = ("data_source", "source", "dataset", "type", "subject", "category")
_DIFFICULTIES = ("difficulty", "level")
_IDS = ("id", "problem_id", "unique_id", "uid")


@dataclass(frozen=True)
class Columns:
    """Dotted names of the columns that are read; None for what there is not."""

    prompt: str
    answer: str | None
    id: str | None = None
    source: str | None = None
    difficulty: str | None = None


def recognise(
    row: Mapping[str, Any], config: DataConfig, *, place: str, needs_answer: bool = True
) -> Columns:
    """Find the columns of a source from its first row; what the user named goes first.

    verl's rows (``prompt`` and ``reward_model.ground_truth``) are known as a whole. Otherwise there
    must be exactly one column that can be the prompt and one that can be the answer, where
    ``answer`` beside ``solution`` is the answer and columns with the same contents are one.

    Raises:
        LearnAlignError: if a named column is missing (the nearest are named), or if there is not
            exactly one column that it can be.

    Example:
        >>> recognise({"question": "1+1?", "answer": "2"}, DataConfig(), place="x.jsonl")
        Columns(prompt='question', answer='answer', id=None, source=None, difficulty=None)
    """
    named = {
        "prompt": config.prompt_column,
        "answer": config.answer_column,
        "id": config.id_column,
        "source": config.source_column,
        "difficulty": config.difficulty_column,
    }
    for role, name in named.items():
        if name is not None:
            _check(row, name, f"--{role}-column", place)
    rewards = row.get("reward_model")
    if isinstance(rewards, Mapping) and "ground_truth" in rewards and "prompt" in row:
        found = {"prompt": "prompt", "answer": "reward_model.ground_truth"}
    else:
        found = {"prompt": named["prompt"] or _only(row, _PROMPTS, "prompt", place)}
        if needs_answer and named["answer"] is None:
            names = set(row) - {found["prompt"]}
            if "answer" in names:
                names.discard("solution")
            found["answer"] = _only({n: row[n] for n in names}, _ANSWERS, "answer", place, row)
    known = {
        "id": next((n for n in _IDS if isinstance(row.get(n), str | int)), None),
        "source": next((n for n in _SOURCES if isinstance(row.get(n), str)), None),
        "difficulty": next((n for n in _DIFFICULTIES if isinstance(row.get(n), str | int)), None),
    }
    given = {role: name for role, name in named.items() if name is not None}
    chosen: dict[str, Any] = {"answer": None, **known, **found, **given}
    return Columns(**chosen)


def value(row: Mapping[str, Any], name: str | None) -> Any:
    """Take a column's value; dots reach into nested ones; None where there is none.

    Example:
        >>> value({"reward_model": {"ground_truth": "4"}}, "reward_model.ground_truth")
        '4'
    """
    if name is None:
        return None
    if name in row:
        return row[name]
    found: Any = row
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def messages_of(content: Any) -> Messages | None:
    """Turn a prompt into chat messages; None if it is empty or no text.

    A reference answer at the end (messages of the assistant) is left out: the model writes its own.

    Example:
        >>> messages_of("1+1?")
        [{'role': 'user', 'content': '1+1?'}]
    """
    if isinstance(content, str):
        return [{"role": "user", "content": content}] if content.strip() else None
    if not isinstance(content, list) or not all(isinstance(m, Mapping) for m in content):
        return None
    messages = []
    for message in content:
        text = _text(message.get("content"))
        if text is None or not message.get("role"):
            return None
        messages.append({"role": str(message["role"]), "content": text})
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    return messages if messages and messages[-1]["content"].strip() else None


def answer_of(content: Any) -> str | None:
    r"""Turn a gold answer into text; None if it is missing.

    Whole floats lose their ``.0``, a list of one is its element, and of GSM8K's worked answers the
    part after ``#### `` counts, without commas in numbers.

    Example:
        >>> answer_of("She has 3 * 400 = 1,200.\n#### 1,200"), answer_of(27.0), answer_of("  ")
        ('1200', '27', None)
    """
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if content is None or isinstance(content, list | Mapping):
        return None
    if isinstance(content, float) and content.is_integer():
        content = int(content)
    text = str(content).strip()
    if "#### " in text:
        text = re.sub(r"(?<=\d),(?=\d{3})", "", text.rsplit("#### ", 1)[1].strip())
    return text or None


def _text(content: Any) -> str | None:
    """Read a message's content: text, or a list of text parts."""
    if isinstance(content, list):
        parts: list[Any] = [p.get("text") if isinstance(p, Mapping) else p for p in content]
        return "".join(parts) if all(isinstance(p, str) for p in parts) else None
    return content if isinstance(content, str) else None


def _check(row: Mapping[str, Any], name: str, flag: str, place: str) -> None:
    parents = name.split(".")[:-1]
    above = value(row, ".".join(parents)) if parents and name not in row else row
    if name in row or (isinstance(above, Mapping) and name.split(".")[-1] in above):
        return
    names = list(row) + [f"{k}.{n}" for k, v in row.items() if isinstance(v, Mapping) for n in v]
    raise LearnAlignError(
        f"{place} has no column '{name}'",
        expected=f"a column of its rows: {nearest(name, names)}",
        do=f"correct {flag}",
    )


def _only(
    row: Mapping[str, Any],
    candidates: tuple[str, ...],
    role: str,
    place: str,
    whole: Mapping[str, Any] | None = None,
) -> str:
    found = [name for name in candidates if name in row]
    if found and all(row[name] == row[found[0]] for name in found):
        return found[0]
    seen = ", ".join(whole or row)
    what = f"{len(found)} that can be it ({', '.join(found)})" if found else "none of a known name"
    raise LearnAlignError(
        f"cannot tell which column of {place} is the {role}: {what}; its columns are {seen}",
        expected=f"exactly one of {', '.join(candidates)}, or a flag",
        do=f"name it with --{role}-column",
    )
