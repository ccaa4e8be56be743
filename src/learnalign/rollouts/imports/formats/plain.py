"""Rows with the usual column names: one completion each, or a list of them."""

from learnalign.rollouts.imports.format import Format

FORMAT = Format(
    name="plain",
    writer="your own files, `rollouts/` of a run",
    where="the files",
    tokens="exact",
    columns=(),
    note="the columns above; text where there are no `token_ids`",
)
