"""The interface of a curriculum: it chooses the problems of a step and learns from the outcome."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from learnalign.curriculum.checks import require_whole
from learnalign.curriculum.observed import Booleans as Booleans
from learnalign.curriculum.observed import Floats as Floats
from learnalign.curriculum.observed import Indices as Indices
from learnalign.curriculum.observed import gradients, outcomes
from learnalign.errors import LearnAlignError


class Curriculum(ABC):
    """Chooses the problems of every training step.

    A step is one or more rounds. A round is `next_batch`, rollouts by the trainer, and `observe`,
    which returns the groups to train on. A method that drops groups without a signal
    (``drops = True``) returns fewer groups than were sampled. The trainer then asks for as many as
    are missing, with ``refill=True``, until the batch is full or a limit of rounds is reached; then
    it trains on what it has. No problem appears twice in a step. `learnalign.curriculum.step` has
    this loop as a function.

    An outcome may come after the next batch was chosen, as in trainers that fetch ahead; `metrics`
    counts it in the step in which it arrives.

    A curriculum that compares problems by their gradients sets ``uses_gradients``; a trainer that
    sketches gradients then calls `observe_gradients` after each step. It has to work without, since
    not every trainer does.

    A subclass implements `_choose`, and `_update`, `_update_gradients`, `_end_step`, `_options`,
    `_state` and `_load_state` where needed. It draws random numbers from ``self.rng`` only, so that
    a restored state has the same future.

    Args:
        num_problems: n, at least 1. Problems are the indices 0 to n - 1.
        seed: Seed of every random choice, at least 0.

    Example:
        >>> from learnalign.curriculum.dynamic import Dynamic
        >>> curriculum = Dynamic(6, shuffled=False)
        >>> curriculum.next_batch(3).tolist()
        [0, 1, 2]
        >>> curriculum.observe([0, 1, 2], successes=[0, 3, 8], num_rollouts=8).tolist()
        [False, True, False]

        One group of three has a signal: two are missing.

        >>> curriculum.next_batch(2, refill=True).tolist()
        [3, 4]
        >>> curriculum.observe([3, 4], successes=[7, 1], num_rollouts=8).tolist()
        [True, True]
        >>> curriculum.metrics()["groups_with_signal"]
        0.6

        The batch is full, and the next step begins.

        >>> curriculum.next_batch(3).tolist()
        [5, 0, 1]
    """

    #: The registry's name.
    name: ClassVar[str]
    #: Whether groups without a signal are dropped, so that the trainer has to refill its batch.
    drops: bool = False
    #: Whether it learns from gradients, so that the trainer sketches them for `observe_gradients`.
    uses_gradients: bool = False

    def __init__(self, num_problems: int, *, seed: int = 0) -> None:
        self.num_problems = require_whole("num_problems", num_problems, at_least=1)
        self.seed = require_whole("seed", seed, at_least=0)
        self.rng = np.random.default_rng(self.seed)
        #: (n,) how often each problem was observed.
        self.times_observed = np.zeros(self.num_problems, dtype=np.int64)
        self._in_step = np.zeros(self.num_problems, dtype=bool)
        self._groups = self._with_signal = 0

    def next_batch(self, count: int, *, refill: bool = False) -> Indices:
        """Choose the problems to sample next.

        Args:
            count: Number of problems; fewer are returned if the step has no more of them.
            refill: Whether this continues the step; problems that it already chose are excluded.

        Returns:
            (min(count, problems left),) distinct indices.
        """
        if count < 0:
            raise LearnAlignError(f"got a batch of {count} problems", expected="at least 0")
        if not refill:
            if self._groups:
                self._end_step()
            self._in_step[:] = False
            self._groups = self._with_signal = 0
        size = min(count, self.num_problems - int(self._in_step.sum()))
        chosen = self._choose(size, self._in_step) if size else np.zeros(0, dtype=np.int64)
        assert len(chosen) == size
        assert not self._in_step[chosen].any()
        self._in_step[chosen] = True
        return chosen

    def observe(
        self,
        indices: ArrayLike,
        successes: ArrayLike,
        num_rollouts: ArrayLike,
        *,
        has_signal: ArrayLike | None = None,
    ) -> Booleans:
        """Learn from the outcome of a round.

        Args:
            indices: (k,) distinct problems.
            successes: (k,) sums of rewards in [0, 1]: the number of correct rollouts where rewards
                are 0 or 1.
            num_rollouts: (k,) or scalar, rollouts with a reward; 0 where the verifier failed.
            has_signal: (k,) whether the rewards of a group differ. By default
                0 < successes < num_rollouts, which is exact for rewards of 0 and 1.

        Returns:
            (k,) whether to train on the group.

        Raises:
            LearnAlignError: if there is not one outcome for each of some distinct problems, or the
                successes are not from 0 to the number of rollouts.
        """
        found = outcomes(self.num_problems, indices, successes, num_rollouts, has_signal)
        signal = found.has_signal
        self.times_observed[found.indices] += 1
        self._groups += len(signal)
        self._with_signal += int(signal.sum())
        self._update(*found)
        return signal if self.drops else np.ones(len(signal), dtype=bool)

    def observe_gradients(self, indices: ArrayLike, sketches: ArrayLike) -> None:
        """Learn from the gradients of the problems that a step was trained on.

        Called once a step, after its `observe`, by trainers that sketch gradients. The cosine of
        two sketches estimates that of the gradients, also between steps.

        Args:
            indices: (k,) distinct problems, those of the step that had a gradient.
            sketches: (k, d) their sketches, finite; d is the same in each call.

        Raises:
            LearnAlignError: if there is not one finite sketch for each of some distinct problems.
        """
        places, rows = gradients(self.num_problems, indices, sketches)
        if len(places):
            self._update_gradients(places, rows)

    def estimates(self) -> Floats | None:
        """Return (n,) estimates of the success rates, or None if the method has none."""
        return None

    def noise_chances(self) -> Floats | None:
        """Return (n,) chances that a problem's gradient is noise, NaN where nothing is known.

        None if nothing is known of any problem.
        """
        return None

    def metrics(self) -> dict[str, float]:
        """Describe the current step and the pool so far.

        Returns:
            ``groups`` sampled in this step, the share ``groups_with_signal``, and ``coverage``, the
            share of the pool that was observed at least once. Subclasses add their own.
        """
        return {
            "groups": float(self._groups),
            "groups_with_signal": self._with_signal / max(1, self._groups),
            "coverage": float((self.times_observed > 0).mean()),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state as JSON-serializable data."""
        return {
            "name": self.name,
            "num_problems": self.num_problems,
            "seed": self.seed,
            "options": self._options(),
            "random": self.rng.bit_generator.state,
            "times_observed": self.times_observed.tolist(),
            "in_step": np.flatnonzero(self._in_step).tolist(),
            "groups": self._groups,
            "with_signal": self._with_signal,
            "method": self._state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state, exactly, of a curriculum that was made with the same options.

        Raises:
            LearnAlignError: if the state belongs to another method, pool, seed or options, or is
                not complete.
        """
        try:
            self._require_same(state)
            self._restore(state)
        except LearnAlignError:
            raise
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise LearnAlignError(
                f"got a curriculum's state that is not complete: {error!r}",
                expected="what `state_dict` of this version returns",
                do="resume from another checkpoint, or start a new training",
            ) from error

    def _require_same(self, state: dict[str, Any]) -> None:
        mine = {key: getattr(self, key) for key in ("name", "num_problems", "seed")}
        found = {key: state[key] for key in mine}
        mine, found = mine | self._options(), found | state["options"]
        for key, value in mine.items():
            if found[key] != value:
                raise LearnAlignError(
                    f"got a curriculum's state with {key} = {found[key]!r}",
                    expected=repr(value),
                    do="resume with the settings and the pool that the training began with",
                )

    def _restore(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["random"]
        self.times_observed = np.array(state["times_observed"], dtype=np.int64)
        self._in_step[:] = False
        self._in_step[state["in_step"]] = True
        self._groups, self._with_signal = state["groups"], state["with_signal"]
        self._load_state(state["method"])

    @abstractmethod
    def _choose(self, count: int, excluded: Booleans) -> Indices:
        """Return ``count`` >= 1 distinct problems outside ``excluded`` (n,); enough are left."""

    def _update(  # noqa: B027
        self, indices: Indices, successes: Floats, num_rollouts: Floats, has_signal: Booleans
    ) -> None:
        """Learn from checked (k,) outcomes."""

    def _update_gradients(self, indices: Indices, sketches: Floats) -> None:  # noqa: B027
        """Learn from checked (k,) problems and (k, d) sketches of their gradients."""

    def _end_step(self) -> None:  # noqa: B027
        """React to the end of a step; called when the next one begins."""

    def _options(self) -> dict[str, Any]:
        """Return what a restored state has to agree in: numbers, strings and lists of them."""
        return {}

    def _state(self) -> dict[str, Any]:
        """Return the subclass's JSON-serializable state."""
        return {}

    def _load_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Restore what `_state` returned."""
