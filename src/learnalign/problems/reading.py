"""A report on how a source was read: its columns, their formats and row counts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from learnalign.problems.columns import Columns


@dataclass
class Reading:
    """How the prompts and answers of one source were read."""

    location: str
    """The DATA argument."""
    columns: Columns
    prompts: Counter[str] = field(default_factory=Counter)
    """Number of rows by the format of their prompt."""
    answers: Counter[str] = field(default_factory=Counter)
    """Number of rows by the format of their answer."""
    options: str | None = None
    """The column whose options were added to the prompts."""
    excluded: Counter[str] = field(default_factory=Counter)
    """Number of excluded rows by reason."""
    notes: list[str] = field(default_factory=list)
    """Other decisions."""

    def line(self) -> str:
        """Format the report as one line; a source without rows has no columns.

        Example:
            >>> columns = Columns("prompt", "reward_model.ground_truth")
            >>> Reading("x", columns, Counter(text=9, chat=1), Counter({"list of one": 10})).line()
            'prompt: prompt (text in 9 rows; chat in 1), answer: reward_model.ground_truth (list of one)'
        """  # noqa: E501
        if self.columns.prompt is None:
            return "no rows"
        prompt = f"prompt: {self.columns.prompt} ({_forms(self.prompts)})"
        if self.options is not None:
            prompt += f" with the options of {self.options}"
        parts = [prompt, f"answer: {self.columns.answer} ({_forms(self.answers)})"]
        for role in ("id", "source", "difficulty"):
            name = getattr(self.columns, role)
            parts += [f"{role}: {name}"] if name is not None else []
        summary = ", ".join(parts)
        if self.excluded:
            reasons = ", ".join(f"{n} {reason}" for reason, n in self.excluded.most_common())
            summary += f"; excluded: {reasons}"
        return "; ".join([summary, *self.notes])


def reading_lines(readings: Iterable[Reading]) -> list[str]:
    """Format one line per source; with several sources, each line starts with its name."""
    sources = list(readings)
    if len(sources) == 1:
        return [sources[0].line()]
    return [f"{reading.location}: {reading.line()}" for reading in sources]


def _forms(counts: Counter[str]) -> str:
    if len(counts) <= 1:
        return next(iter(counts), "no rows")
    first, *others = counts.most_common()
    rows = "row" if first[1] == 1 else "rows"
    return "; ".join(
        [f"{first[0]} in {first[1]} {rows}", *(f"{form} in {n}" for form, n in others)]
    )
