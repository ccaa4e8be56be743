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

#: The kind of a problem that an audit found nothing about.
NO_FINDING = "no finding"

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


def audit_fields(findings: pa.Table, kinds: Sequence[str], ids: Sequence[str]) -> list[Field]:
    """Return the kinds of findings of each problem, and the score of each kind.

    Args:
        findings: FINDINGS.
        kinds: Names of the kinds, in their order.
        ids: n problem ids, in the page's order.

    Example:
        >>> from learnalign.tables import FINDINGS
        >>> rows = [{"kind": kind, "problem_id": "b", "score": 0.9} for kind in ("copies", "gold")]
        >>> table = pa.Table.from_pylist(rows, FINDINGS)
        >>> kinds, *scores = audit_fields(table, ["gold", "copies"], ["a", "b"])
        >>> kinds.names, kinds.values.tolist()
        (('gold and copies', 'no finding'), [1, 0])
        >>> [(field.key, field.values.tolist()) for field in scores]
        [('audit_gold', [nan, 0.9]), ('audit_copies', [nan, 0.9])]
    """
    index = {name: number for number, name in enumerate(ids)}
    scores = {kind: np.full(len(ids), np.nan) for kind in kinds}
    columns = (findings[name].to_pylist() for name in ("kind", "problem_id", "score"))
    for kind, name, score in zip(*columns, strict=True):
        if name in index:
            place = index[name]
            scores[kind][place] = np.fmax(scores[kind][place], score)
    found = {kind: np.isfinite(values) for kind, values in scores.items()}
    said = [
        " and ".join(kind for kind in kinds if found[kind][place]) or NO_FINDING
        for place in range(len(ids))
    ]
    names = [*sorted(set(said) - {NO_FINDING}), NO_FINDING]
    codes = np.fromiter(map(names.index, said), np.int32, len(ids))
    return [
        Field("audit", "audit", "name", codes, tuple(names)),
        *(Field(f"audit_{kind}", f"audit, {kind}", "number", scores[kind]) for kind in kinds),
    ]


def tells_apart(field: Field) -> bool:
    """Whether a field has values that differ, or names besides "not given"."""
    if field.kind == "name":
        return bool(set(field.names) - {NOT_GIVEN})
    return bool(np.isfinite(field.values).any())
