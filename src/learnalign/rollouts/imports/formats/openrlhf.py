"""OpenRLHF: the file of its batch inference, with text."""

from learnalign.rollouts.imports.format import Format

FORMAT = Format(
    name="openrlhf",
    writer="OpenRLHF (batch inference)",
    where="the file",
    tokens="text",
    columns=({"input", "output", "reward"},),
)
