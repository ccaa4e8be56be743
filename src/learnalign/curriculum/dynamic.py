"""Dynamic sampling (DAPO, arXiv 2503.14476): groups without a signal are dropped and refilled.

A group is kept if 0 < successes < num_rollouts: with equal rewards every advantage is 0. The order
is that of `Order`. Every sampled group is paid for, dropped or not.

From verl's recipe: another generation batch is drawn until enough groups are kept, at most 10
batches, and what is too much is discarded. How much to draw again and the limit belong to the
caller here (`learnalign.curriculum.step`).
"""

from learnalign.curriculum.order import Order


class Dynamic(Order):
    """Whole passes; groups without a signal are dropped.

    Args:
        num_problems: n, at least 1.
        seed: Seed of the shuffling.
        shuffled: Whether to shuffle each pass; otherwise the order of the file.

    Example:
        >>> curriculum = Dynamic(4)
        >>> curriculum.observe([0, 1, 2], [0, 4, 8], 8).tolist()
        [False, True, False]
    """

    name = "dynamic"
    drops = True
