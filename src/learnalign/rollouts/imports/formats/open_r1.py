"""open-r1: a data set with ``pass_rate_generations`` and ``pass_rate_rewards``.

Source: scripts/pass_rate_filtering/compute_pass_rate.py: a reward function's None is NaN there.
"""

import math

from learnalign.rollouts.imports.format import Format, PlainRow, Row


def _plain(row: Row) -> list[PlainRow]:
    rewards = [
        None if isinstance(reward, float) and math.isnan(reward) else reward
        for reward in row["pass_rate_rewards"]
    ]
    plain = {name: value for name, value in row.items() if not name.startswith("pass_rate_")}
    # The columns beside them are the data set's own: its solutions are no completions.
    for name in ("generation", "generations", "output", "response", "completion"):
        plain.pop(name, None)
    return [plain | {"completions": row["pass_rate_generations"], "reward": rewards}]


FORMAT = Format(
    name="open-r1",
    writer="open-r1 (`compute_pass_rate.py`)",
    where="the data set's files",
    tokens="text",
    columns=({"pass_rate_generations", "pass_rate_rewards"},),
    note="a missing reward (NaN) is judged by the verifier",
    plain=_plain,
)
