"""What is known of each problem, as the page's fields: numbers and names, one value a problem."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from learnalign.reporting.stats import NOT_GIVEN, natural, numbers, texts
from learnalign.tables import VERDICT_KINDS

Values = NDArray[np.float64] | NDArray[np.int32]


@dataclass(frozen=True)
class Field:
    """One field of a run's problems."""

    key: str
    label: str
    kind: Literal["number", "name"]
    values: Values
    """(n,) float64 numbers, NaN where there is none; or (n,) int32 indices of ``names``, -1 where
    there is none."""
    names: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """Return what the page needs besides the values."""
        return {"key": self.key, "label": self.label, "kind": self.kind, "names": self.names}


_SCORES = {
    "success_rate": "success rate",
    "learnability": "learnability",
    "alignment": "alignment",
    "score": "score",
    "rank": "rank",
    "mean_response_tokens": "tokens per response",
    "gradient_norm": "gradient norm",
    "stability": "stability",
    "num_rollouts": "rollouts",
    "num_correct": "correct rollouts",
    "num_truncated": "truncated rollouts",
}


def score_fields(scores: pa.Table, ids: Sequence[str]) -> list[Field]:
    """Return the fields of a ranking.

    Args:
        scores: SCORES.
        ids: n problem ids, in the page's order; one without a row has no values.

    Example:
        >>> from learnalign.tables import SCORES
        >>> row = {"problem_id": "b", "success_rate": 0.5, "selected": True, "source": "gsm8k"}
        >>> found = score_fields(pa.Table.from_pylist([row], schema=SCORES), ["a", "b"])
        >>> [(field.key, field.values.tolist()) for field in found]
        [('success_rate', [nan, 0.5]), ('selected', [-1, 0]), ('source', [1, 0])]
    """
    index = pc.index_in(pa.array(ids, pa.string()), scores["problem_id"].combine_chunks())
    rows = scores.take(index)
    fields = [Field(key, name, "number", numbers(rows, key)) for key, name in _SCORES.items()]
    chosen = numbers(rows, "selected")
    codes = np.select([chosen == 1.0, chosen == 0.0], [0, 1], -1).astype(np.int32)
    fields.append(Field("selected", "chosen", "name", codes, ("chosen", "not chosen")))
    fields += [name_field(key, key, texts(rows, key)) for key in ("source", "difficulty")]
    return [field for field in fields if tells_apart(field)]


def name_field(key: str, label: str, values: Sequence[str | None]) -> Field:
    """Make a field of names, in natural order (level 2 before level 10), those not given last.

    Example:
        >>> found = name_field("level", "level", ["10", None, "2"])
        >>> found.names, found.values.tolist()
        (('2', '10', 'not given'), [1, 2, 0])
    """
    given = [NOT_GIVEN if value is None else value for value in values]
    names = tuple(sorted(set(given), key=natural))
    codes = {name: code for code, name in enumerate(names)}
    found = np.fromiter((codes[name] for name in given), np.int32, len(given))
    return Field(key, label, "name", found, names)


def verdict_fields(verdicts: Sequence[pa.Table], ids: Sequence[str]) -> list[Field]:
    """Count each problem's rollouts by verdict; ``correct`` is among the scores.

    Args:
        verdicts: Shards of VERDICTS.
        ids: n problem ids, in the page's order.
    """
    index = {name: number for number, name in enumerate(ids)}
    counts = {kind: np.zeros(len(ids)) for kind in VERDICT_KINDS if kind != "correct"}
    for shard in verdicts:
        pairs = zip(shard["problem_id"].to_pylist(), shard["verdict"].to_pylist(), strict=True)
        for name, kind in pairs:
            if kind in counts and name in index:
                counts[kind][index[name]] += 1.0
    return [
        Field(f"num_{kind}", f"{kind.replace('_', ' ')} rollouts", "number", values)
        for kind, values in counts.items()
        if values.any()
    ]


def tells_apart(field: Field) -> bool:
    """Whether a field has values that differ, or names besides "not given"."""
    if field.kind == "name":
        return bool(set(field.names) - {NOT_GIVEN})
    return bool(np.isfinite(field.values).any())
