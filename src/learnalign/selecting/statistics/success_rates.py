"""Statistics of each problem's rollouts: success rate, counts, lengths, and an interval."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from scipy import stats

#: One row per problem; returned by `group_reward_stats`.
REWARD_STATS = pa.schema(
    [
        ("problem_id", pa.string()),
        ("num_rollouts", pa.int64()),  # rollouts with a reward
        ("num_correct", pa.int64()),
        ("num_truncated", pa.int64()),
        ("success_rate", pa.float64()),  # mean reward; null without any reward
        ("reward_variance", pa.float64()),  # population variance (divided by num_rollouts)
        ("binary", pa.bool_()),  # every reward is 0 or 1
        ("mean_response_tokens", pa.float64()),
        ("unparsed_gold", pa.bool_()),
    ]
)


def group_reward_stats(rollouts: Iterable[pa.Table], verdicts: Iterable[pa.Table]) -> pa.Table:
    """Aggregate each problem's rollouts and verdicts.

    Args:
        rollouts: Shards of the ROLLOUTS table; a problem's rollouts are in one shard.
        verdicts: The matching shards of the VERDICTS table.

    Returns:
        REWARD_STATS table, sorted by problem_id. Rollouts without a reward (the verifier failed)
        are not counted; truncated ones are also counted separately.
    """
    parts = [_shard_figures(*pair) for pair in zip(rollouts, verdicts, strict=True)]
    table = pa.concat_tables(parts) if parts else REWARD_STATS.empty_table()
    return table.sort_by("problem_id")


def _shard_figures(rollouts: pa.Table, verdicts: pa.Table) -> pa.Table:
    keys = ["problem_id", "sample"]
    lengths = pa.table(
        {
            **{key: rollouts[key] for key in keys},
            "tokens": pc.list_value_length(rollouts["token_ids"]),
            "truncated": pc.fill_null(pc.equal(rollouts["finish_reason"], "length"), False),
        }
    )
    joined = verdicts.select([*keys, "verdict", "reward"]).join(lengths, keys)
    reward = joined["reward"]
    counted = pc.is_valid(reward)
    binary = pc.or_(pc.equal(reward, 0.0), pc.equal(reward, 1.0))
    rows = pa.table(
        {
            "problem_id": joined["problem_id"],
            "reward": reward,
            "correct": pc.and_(pc.equal(joined["verdict"], "correct"), counted),
            "truncated": pc.and_(joined["truncated"], counted),
            "binary": pc.fill_null(binary, True),
            "tokens": pc.if_else(counted, joined["tokens"], None),
            "unparsed_gold": pc.equal(joined["verdict"], "unparsed_gold"),
        }
    )
    aggregated = rows.group_by("problem_id").aggregate(
        [
            ("reward", "count"),
            ("correct", "sum"),
            ("truncated", "sum"),
            ("reward", "mean"),
            ("reward", "variance", pc.VarianceOptions(ddof=0)),
            ("binary", "all"),
            ("tokens", "mean"),
            ("unparsed_gold", "any"),
        ]
    )
    named = ["reward_count", "correct_sum", "truncated_sum", "reward_mean", "reward_variance"]
    named += ["binary_all", "tokens_mean", "unparsed_gold_any"]
    columns = [aggregated["problem_id"], *(aggregated[name] for name in named)]
    return pa.table(
        [column.cast(field.type) for column, field in zip(columns, REWARD_STATS, strict=True)],
        schema=REWARD_STATS,
    )


def jeffreys_interval(
    num_correct: ArrayLike, num_rollouts: ArrayLike, *, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the Jeffreys interval of success rates.

    The Beta(k + 1/2, G - k + 1/2) posterior's equal-tailed interval, with the lower end 0 where
    k = 0 and the upper end 1 where k = G (Brown, Cai, DasGupta 2001).

    Args:
        num_correct: (n,) k, number of correct rollouts.
        num_rollouts: (n,) or scalar G.
        level: Posterior probability of the interval.

    Returns:
        (n,) lower and (n,) upper ends.

    Example:
        >>> low, high = jeffreys_interval([0, 4, 8], 8)
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([0.0, 0.199, 0.738], [0.262, 0.801, 1.0])
    """
    correct = np.asarray(num_correct, dtype=np.float64)
    total = np.broadcast_to(np.asarray(num_rollouts, dtype=np.float64), correct.shape)
    tail = (1.0 - level) / 2.0
    posterior = stats.beta(correct + 0.5, total - correct + 0.5)
    low = np.where(correct == 0, 0.0, posterior.ppf(tail))
    high = np.where(correct == total, 1.0, posterior.ppf(1.0 - tail))
    return low, high
