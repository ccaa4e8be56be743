"""Parsing times of day and dates in common formats."""

import re
from dataclasses import dataclass

_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = "|".join(f"{month}|{month[:3]}" for month in _MONTHS) + "|sept"
_CLOCK = re.compile(
    r"(?:at\s+)?(\d{1,2})(?::(\d{2})(?::(\d{2}))?)?\s*(?:o'?clock\s*)?(?:([ap])\s*\.?\s*m\b\.?|(noon|midnight))?"
    r"(?:\s*(?:in the )?(morning|afternoon|evening|night))?",
    re.IGNORECASE,
)
_DATES = (
    re.compile(
        rf"(?P<month>{_MONTH})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:\s*,?\s*(?P<year>\d{{4}}))?",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_MONTH})\.?(?:\s*,?\s*(?P<year>\d{{4}}))?",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"),
    re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"),
    re.compile(r"(?P<year>\d{4})\s*年\s*(?P<month>\d{1,2})\s*月\s*(?P<day>\d{1,2})\s*日"),
)
_WEEKDAY = re.compile(r"^(?:mon|tues|wednes|thurs|fri|satur|sun)day\s*,\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Clock:
    """A time of day."""

    minutes: int
    """Since midnight or noon, on a 12-hour clock."""
    seconds: int = 0
    half: str | None = None
    """am, pm, or None if unknown."""

    def __str__(self) -> str:
        text = f"{self.minutes // 60}:{self.minutes % 60:02}"
        return (
            text
            + (f":{self.seconds:02}" if self.seconds else "")
            + (f" {self.half}" if self.half else "")
        )


@dataclass(frozen=True)
class Date:
    """A calendar date; the year is optional."""

    month: int
    day: int
    year: int | None = None

    def __str__(self) -> str:
        return f"{self.year or '....'}-{self.month:02}-{self.day:02}"


def read_time(text: str) -> Clock | Date | None:
    """Parse a text that is only a time of day or a date.

    A bare ``3:30`` is a time; a bare number is not.

    Example:
        >>> [str(read_time(text)) for text in ("2:30 p.m.", "14:30", "2 pm", "March 5, 2021")]
        ['2:30 pm', '2:30 pm', '2:00 pm', '2021-03-05']
        >>> str(read_time("5th of March")), read_time("12"), read_time("27:00")
        ('....-03-05', None, None)
    """
    text = _WEEKDAY.sub("", text.strip().rstrip(","))
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match:
            return _date(match)
    if text.lower() in ("noon", "midnight"):
        text = f"12 {text}"
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute, second, half, named, part = match.groups()
    if minute is None and not (half or named or part):
        return None
    hours, minutes, seconds = int(hour), int(minute or 0), int(second or 0)
    if hours > 24 or minutes > 59 or seconds > 59:
        return None
    half = {"a": "am", "p": "pm"}.get((half or "").lower())
    half = half or {"noon": "pm", "midnight": "am", "morning": "am"}.get(
        (named or part or "").lower()
    )
    half = half or ("pm" if (part or "").lower() in ("afternoon", "evening") else None)
    if half is None and (hours > 12 or hours == 0):
        half = "pm" if 12 <= hours < 24 else "am"
    return Clock(hours % 12 * 60 + minutes, seconds, half)


def same_time(gold: Clock | Date, answer: Clock | Date) -> bool:
    """Return whether two times are the same; am/pm or the year may be missing in one of them.

    Example:
        >>> same_time(read_time("2:30 p.m."), read_time("14:30"))
        True
        >>> same_time(read_time("2:30 p.m."), read_time("2:30 a.m."))
        False
        >>> same_time(read_time("2:30 p.m."), read_time("2:30"))
        True
    """
    if isinstance(gold, Clock) and isinstance(answer, Clock):
        same = (gold.minutes, gold.seconds) == (answer.minutes, answer.seconds)
        return same and (gold.half is None or answer.half is None or gold.half == answer.half)
    if isinstance(gold, Date) and isinstance(answer, Date):
        same = (gold.month, gold.day) == (answer.month, answer.day)
        return same and (gold.year is None or answer.year is None or gold.year == answer.year)
    return False


def _date(match: re.Match[str]) -> Date | None:
    parts = match.groupdict()
    name = parts["month"].lower()
    month = (
        int(name)
        if name.isdigit()
        else 1 + next(n for n, m in enumerate(_MONTHS) if m.startswith(name[:3]))
    )
    day, year = int(parts["day"]), parts.get("year")
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    return Date(month, day, int(year) if year else None)
