"""Plain counts: how many of a problem's rollouts were correct, and nothing else of them."""

from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.problems.columns import COMPLETIONS
from learnalign.rollouts.imports.format import Format, PlainRow, Row
from learnalign.rollouts.imports.values import REWARDS, list_of, number_of

_RATES = ("success_rate", "pass_rate", "solve_rate")


def _plain(row: Row) -> list[PlainRow]:
    total = _whole(row["num_rollouts"], "num_rollouts")
    right = row.get("num_correct")
    right = _of_rate(row, total) if right in (None, "") else _whole(right, "num_correct")
    if right > total:
        raise LearnAlignError(
            f"num_correct is {right} and num_rollouts {total}",
            expected="at most as many correct rollouts as rollouts",
            do="correct the row",
        )
    kept = {name: value for name, value in row.items() if name not in (*COMPLETIONS, "prompt_ids")}
    return [kept | {"counted_rewards": [1.0] * right + [0.0] * (total - right)}]


def _is_rollout(row: Row) -> bool:
    """Whether the row is a rollout, or several, with the counts of its problem beside it.

    Without a reward, a text in a column such as ``output`` is the gold.
    """
    texts = [row[name] for name in COMPLETIONS if row.get(name) is not None]
    is_rewarded = any(row.get(name) is not None for name in REWARDS)
    is_list = any(isinstance(list_of(text), list) for text in texts)
    return row.get("token_ids") is not None or is_list or bool(texts and is_rewarded)


def _of_rate(row: Row, total: int) -> int:
    """Return the number of correct rollouts by their share, which may be rounded to a hundredth."""
    name = next((name for name in _RATES if row.get(name) not in (None, "")), None)
    rate: Any = None if name is None else row[name]
    share = number_of(rate)
    right = -1.0 if share is None else share * total
    if not 0.0 <= right <= total or abs(right - round(right)) > 0.005 * total + 1e-6:
        raise LearnAlignError(
            f"num_rollouts is {total}, and {name or 'num_correct'} {rate!r}",
            expected=f"num_correct, or a rate from 0 to 1 ({', '.join(_RATES)}) that is a whole "
            "number of them",
            do="correct the row",
        )
    return round(right)


def _whole(content: Any, name: str) -> int:
    number = number_of(content)
    if number is None or not number.is_integer() or number < 0:
        raise LearnAlignError(f"{name} is {content!r}", expected="a count", do="correct the row")
    return int(number)


FORMAT = Format(
    name="counts",
    writer="your own counts, `scores.parquet` of a run",
    where="the file",
    tokens="counts",
    columns=({"num_correct", "num_rollouts"}, *({name, "num_rollouts"} for name in _RATES)),
    unless=_is_rollout,
    note="`problem_id` or a prompt, `num_rollouts`, and `num_correct` or a rate "
    "(`success_rate`, `pass_rate`, `solve_rate`)",
    plain=_plain,
)
