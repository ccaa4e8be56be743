"""The GRPO objective of one problem: advantages of its rollouts, weights of their tokens.

The policy gradient is ``sum_g sum_t [w_g + k_g (pi_ref/pi - 1)] grad log pi(o_{g,t})``, so a
rollout needs two numbers: ``w_g`` from its advantage, ``k_g`` from the KL term's beta. Rollouts are
on-policy: the importance ratio is 1 and clipping is inactive. If the reference is the policy
itself, the KL term's gradient vanishes (arXiv 2506.11480, the GRPO gradient).
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Loss = Literal["grpo", "dr_grpo", "dapo"]
ScaleRewards = Literal["group", "none"]

#: Added to the standard deviation of a group's rewards, as in TRL (verl adds 1e-6).
EPSILON = 1e-4


def advantages(rewards: ArrayLike, *, scale_rewards: ScaleRewards = "group") -> NDArray[np.float64]:
    """Compute the advantage of each rollout: its reward compared with the group's mean.

    Args:
        rewards: (G,) rewards.
        scale_rewards: ``group`` divides by the sample standard deviation (ddof 1) plus 1e-4, as
            TRL's GRPOTrainer does; ``none`` does not.

    Returns:
        (G,) advantages, all exactly 0 if the rewards are equal.

    Example:
        >>> advantages([1.0, 0.0]).round(3).tolist()
        [0.707, -0.707]
        >>> advantages([1.0, 1.0]).tolist()
        [0.0, 0.0]
    """
    values = np.asarray(rewards, dtype=np.float64)
    if len(values) < 2 or np.ptp(values) == 0.0:
        return np.zeros_like(values)
    centred: NDArray[np.float64] = values - values.mean()
    if scale_rewards == "none":
        return centred
    scaled: NDArray[np.float64] = centred / (values.std(ddof=1) + EPSILON)
    return scaled


def rollout_weights(
    rewards: ArrayLike,
    lengths: ArrayLike,
    *,
    loss: Loss = "grpo",
    scale_rewards: ScaleRewards = "group",
    max_tokens: int,
) -> NDArray[np.float64]:
    """Compute the weight of each rollout's log-probabilities in the problem's objective.

    Args:
        rewards: (G,) rewards.
        lengths: (G,) response tokens, end token included.
        loss: ``grpo`` A/(G length), ``dr_grpo`` A/(G max_tokens), ``dapo`` A/(tokens of the group).
        scale_rewards: See `advantages`.
        max_tokens: Maximum response length when sampling; ``dr_grpo`` divides by it.

    Returns:
        (G,) weights of the objective, which is maximised; a trainer's loss is its negative. The
        weight of an empty response is 0.

    Example:
        >>> rollout_weights([1, 0], [2, 4], scale_rewards="none", max_tokens=8).tolist()
        [0.125, -0.0625]
        >>> rollout_weights([1, 0], [2, 4], loss="dapo", scale_rewards="none", max_tokens=8).round(3).tolist()
        [0.083, -0.083]
    """  # noqa: E501
    values = advantages(rewards, scale_rewards=scale_rewards)
    return values * token_shares(lengths, loss=loss, max_tokens=max_tokens)


def token_shares(
    lengths: ArrayLike, *, loss: Loss = "grpo", max_tokens: int
) -> NDArray[np.float64]:
    """Compute the share of one token of each rollout in the problem's objective.

    Multiplied by the advantage it is the rollout's weight; by beta, that of its KL term.

    Returns:
        (G,) shares; 0 for an empty response.

    Example:
        >>> token_shares([2, 4, 0], max_tokens=8).round(3).tolist()
        [0.167, 0.083, 0.0]
    """
    tokens = np.asarray(lengths, dtype=np.float64)
    match loss:
        case "grpo":
            denominators = len(tokens) * np.maximum(tokens, 1.0)
        case "dr_grpo":
            denominators = np.full_like(tokens, len(tokens) * max_tokens)
        case "dapo":
            denominators = np.full_like(tokens, max(tokens.sum(), 1.0))
    shares: NDArray[np.float64] = np.where(tokens > 0, 1.0 / denominators, 0.0)
    return shares
