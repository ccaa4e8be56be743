"""A report of how a source was read: its columns, their forms and row counts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from learnalign.problems.columns import Columns


@dataclass
class Reading:
    """How the prompts and answers of one source were read."""

    place: str
    """The DATA argument."""
    columns: Columns
    prompts: Counter[str] = field(default_factory=Counter)
    """Rows by what their prompt was written as."""
    answers: Counter[str] = field(default_factory=Counter)
    """Rows by what their answer was written as."""
    options: str | None = None
    """The column whose options were put into the prompts."""
    set_aside: Counter[str] = field(default_factory=Counter)
    """Rows by the reason for which they left the pool."""
    notes: list[str] = field(default_factory=list)
    """What else was decided."""

    def line(self) -> str:
        """Say it in a line.

        Example:
            >>> columns = Columns("prompt", "reward_model.ground_truth")
            >>> Reading("x", columns, Counter(text=9, chat=1), Counter({"list of one": 10})).line()
            'prompt: prompt (text in 9 rows; chat in 1), answer: reward_model.ground_truth (list of one)'
        """  # noqa: E501
        prompt = f"prompt: {self.columns.prompt} ({_forms(self.prompts)})"
        if self.options is not None:
            prompt += f" with the options of {self.options}"
        parts = [prompt, f"answer: {self.columns.answer} ({_forms(self.answers)})"]
        for role in ("id", "source", "difficulty"):
            name = getattr(self.columns, role)
            parts += [f"{role}: {name}"] if name is not None else []
        said = ", ".join(parts)
        if self.set_aside:
            reasons = ", ".join(f"{n} {reason}" for reason, n in self.set_aside.most_common())
            said += f"; set aside: {reasons}"
        return "; ".join([said, *self.notes])


def reading_lines(readings: Iterable[Reading]) -> list[str]:
    """Say for each source how it was read; the source is named where there are several."""
    found = list(readings)
    if len(found) == 1:
        return [found[0].line()]
    return [f"{reading.place}: {reading.line()}" for reading in found]


def _forms(counts: Counter[str]) -> str:
    if len(counts) <= 1:
        return next(iter(counts), "no rows")
    first, *others = counts.most_common()
    rows = "row" if first[1] == 1 else "rows"
    return "; ".join(
        [f"{first[0]} in {first[1]} {rows}", *(f"{form} in {n}" for form, n in others)]
    )
