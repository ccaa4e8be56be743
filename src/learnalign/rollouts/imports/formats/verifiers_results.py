"""verifiers before 0.2: ``results.jsonl`` of ``vf-eval``, with text.

Source: verifiers/scripts/eval.py.
"""

from learnalign.rollouts.imports.format import Format

FORMAT = Format(
    name="verifiers",
    writer="verifiers (`vf-eval`)",
    where="`results.jsonl`, or its folder",
    tokens="text",
    columns=({"example_id", "prompt", "completion", "reward"},),
    side_files=("*/metadata.json",),
)
