"""The trainers' row formats by name."""

from learnalign.formats.trainers.areal import AREAL
from learnalign.formats.trainers.nemo_gym import NEMO_GYM
from learnalign.formats.trainers.nemo_rl import NEMO_RL
from learnalign.formats.trainers.open_instruct import OPEN_INSTRUCT
from learnalign.formats.trainers.openrlhf import OPENRLHF
from learnalign.formats.trainers.rllm import RLLM
from learnalign.formats.trainers.row_format import RowFormat
from learnalign.formats.trainers.skyrl import SKYRL
from learnalign.formats.trainers.slime import SLIME
from learnalign.formats.trainers.verifiers import VERIFIERS

#: TRL's and verl's own rows are in `jsonl` and `parquet`, with their recipes.
TRAINERS: dict[str, RowFormat] = {
    "openrlhf": OPENRLHF,
    "open-instruct": OPEN_INSTRUCT,
    "nemo-rl": NEMO_RL,
    "nemo-gym": NEMO_GYM,
    "verifiers": VERIFIERS,
    "slime": SLIME,
    "skyrl": SKYRL,
    "areal": AREAL,
    "rllm": RLLM,
}


def table() -> str:
    """Return the formats as a table in Markdown, for the docs."""
    head = ["| `--as` | trainer | prompt, gold | read with | proven by |", "|" + " --- |" * 5]
    rows = [
        f"| `{name}` | {one.trainer} | `{'.'.join(one.prompt)}`, `{'.'.join(one.gold)}` | "
        f"{_code(one.read_with)} | {one.proof} |"
        for name, one in TRAINERS.items()
    ]
    return "\n".join([*head, *rows])


def _code(text: str) -> str:
    """Mark the part that is typed as code."""
    options, _, note = text.partition(";")
    return f"`{options}`" + (f"; {note.strip()}" if note else "")
