"""The formats of rollouts by name; the most particular come first."""

from collections.abc import Sequence
from typing import Any

from learnalign.errors import LearnAlignError, nearest
from learnalign.rollouts.imports.format import Format, Row
from learnalign.rollouts.imports.formats import (
    areal,
    counts,
    nemo_gym,
    nemo_gym_profile,
    nemo_rl,
    open_instruct,
    open_r1,
    openrlhf,
    plain,
    rllm,
    trl,
    verifiers_results,
    verifiers_traces,
    verl,
)

#: The formats by name. A row is of the first one that it matches, else plain.
FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        verl.FORMAT,
        trl.FORMAT,
        open_instruct.FORMAT,
        verifiers_traces.EPISODES,
        verifiers_traces.TRACES,
        verifiers_results.FORMAT,
        nemo_rl.FORMAT,
        nemo_gym.FORMAT,
        nemo_gym_profile.FORMAT,
        areal.FORMAT,
        rllm.FORMAT,
        open_r1.FORMAT,
        openrlhf.FORMAT,
        counts.FORMAT,
        plain.FORMAT,
    )
}
#: Trainers whose files are pickles.
PICKLED = "slime, SkyRL"


def format_of(row: Row) -> Format:
    """Recognise a row's format by its columns.

    Example:
        >>> format_of({"prompt_tokens": [1], "response_tokens": [2], "reward": 10.0}).name
        'open-instruct'
        >>> format_of({"id": "a", "completion": "4"}).name
        'plain'
    """
    return next((found for found in FORMATS.values() if found.matches(row)), plain.FORMAT)


def format_named(name: str) -> Format:
    """Look up a format by name.

    Raises:
        LearnAlignError: if there is none; suggests the nearest.

    Example:
        >>> format_named("verl").tokens
        'text'
    """
    if name not in FORMATS:
        raise LearnAlignError(
            f"got the format '{name}'",
            expected=f"one of {', '.join(FORMATS)}: {nearest(name, FORMATS)}",
            do="correct --import, or leave the format to be recognised: --recorded PATH",
        )
    return FORMATS[name]


def require_format(wanted: Format, row: dict[str, Any], location: str) -> Format:
    """Return the named format if a row is of it; every row is plain.

    Raises:
        LearnAlignError: if the row lacks its columns.
    """
    if wanted is plain.FORMAT or wanted.has_columns(row):
        return wanted
    sets = " or ".join(", ".join(sorted(names)) for names in wanted.columns)
    other = format_of(row)
    hint = "" if other is plain.FORMAT else f"; they are those of {other.name}"
    raise LearnAlignError(
        f"{location}: its columns are {', '.join(row)}{hint}",
        expected=f"the columns of {wanted.name}: {sets}",
        do="name the format that it has, or let it be recognised: --recorded PATH",
    )


def docs_table(formats: Sequence[Format] = tuple(FORMATS.values())) -> str:
    """Return the formats as a table in Markdown, for docs/concepts/rollouts.md."""
    serves = {
        "exact": "all methods",
        "text": "all methods; gradients of the text's own tokens",
        "counts": "methods without gradients",
    }
    lines = ["| `--import` | written by | path | serves | what to know |", "| --- " * 5 + "|"]
    lines += [
        f"| `{one.name}` | {one.writer} | {one.where} | {serves[one.tokens]} | {one.note} |"
        for one in formats
    ]
    return "\n".join(lines)
