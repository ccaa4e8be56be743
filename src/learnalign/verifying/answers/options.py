"""Parsing the multiple-choice options listed in a prompt."""

import re
from functools import lru_cache

_MARKER = re.compile(
    r"(?:(?<=\s)|(?<=^)|(?<=[\s$*]))(?:\(([A-J])\)|([A-J])[.):：])\s*(?=\S)", re.MULTILINE
)
_END = re.compile(r"\n\s*\n|<\|[a-z_]+\|>|</s>|\n(?=[A-Z][a-z]+ )")


@lru_cache(256)
def options_in(prompt: str) -> dict[str, str]:
    r"""Parse the options of a prompt: the last run of A, B, C and so on, with at least two options.

    Example:
        >>> options_in("Which one?\nA. a cat\nB. a dog\n\nAnswer with a letter.")
        {'A': 'a cat', 'B': 'a dog'}
        >>> options_in("2 + 2 is (A) 3 (B) 4"), options_in("Plan B. is better")
        ({'A': '3', 'B': '4'}, {})
    """
    marks = list(_MARKER.finditer(prompt))
    starts = [index for index, mark in enumerate(marks) if _letter(mark) == "A"]
    for start in reversed(starts):
        run = [marks[start]]
        for mark in marks[start + 1 :]:
            if _letter(mark) == chr(ord("A") + len(run)):
                run.append(mark)
        if len(run) >= 2:
            ends = [mark.start() for mark in run[1:]] + [len(prompt)]
            return {_letter(m): _text(prompt[m.end() : e]) for m, e in zip(run, ends, strict=True)}
    return {}


def _letter(mark: re.Match[str]) -> str:
    return mark[1] or mark[2]


def _text(text: str) -> str:
    end = _END.search(text)
    return " ".join((text if end is None else text[: end.start()]).split()).strip(" ,;$*")
