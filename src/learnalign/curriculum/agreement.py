"""Which problems pull nowhere: the agreement of a problem's gradient with its own earlier one.

When a problem is trained on again, the cosine c of its new sketch with the last one says whether
it still pulls in the same direction. A problem with random rewards does not: its cosines scatter
around 0, whatever its success rate. Cosines come from two kinds of problems,

    noise: c ~ N(0, s0^2)       signal: c ~ N(m, s1^2),  m > 0

with an unknown share of noise; share and moments are fitted to the recent cosines of all problems
by expectation maximisation, and a problem's own cosines give its posterior odds. The mixture is
ours; that gradients of coins have cosines near 0, and those of problems that can be learned do not,
was measured (docs/concepts/curriculum.md).
"""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnalign.curriculum.base import Floats, Indices

#: Cosines that the mixture is fitted to, the most recent ones.
_RECENT = 2_000
#: Cosines needed before a problem is doubted.
_NEEDED = 30
#: A prior of the share of noise, as cosines: 2 of noise, 8 of signal.
_NOISE, _SIGNAL = 2.0, 8.0
#: Bounds of the standard deviations, of the signal's mean, and of one cosine's log odds.
_NARROWEST, _WIDEST, _LOWEST_MEAN, _MOST = 0.05, 0.5, 0.1, 4.0
#: Sketches that are kept, those of the problems trained last.
_KEPT = 20_000


class Agreement:
    """The chance that a problem is not noise.

    Args:
        num_problems: n.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> agreement = Agreement(40)
        >>> for _ in range(6):  # half of the problems have a direction
        ...     sketches = rng.normal(size=(40, 64))
        ...     sketches[:20, :20] += 8 * np.eye(20)
        ...     agreement.observe(np.arange(40), sketches)
        >>> chances = agreement.chances()
        >>> bool(chances[:20].min() > 0.5), bool(chances[20:].max() < 0.5)
        (True, True)
    """

    def __init__(self, num_problems: int) -> None:
        #: (n,) sums over a problem's cosines of the log odds of signal against noise are computed
        #: from its cosines' number, sum and sum of squares, since the moments change.
        self.sums = np.zeros((3, num_problems))
        self.recent: list[float] = []
        self.share, self.mean = 0.2, 0.4
        self.noise_deviation = self.deviation = 0.2
        #: The last sketch of each problem, of norm 1, in the order of their last visits.
        self.sketches: dict[int, NDArray[np.float16]] = {}

    def observe(self, indices: Indices, sketches: Floats) -> None:
        """Compare (k, d) sketches with the last ones of the same problems, and keep them."""
        norms = np.linalg.norm(sketches, axis=1)
        for index, sketch, norm in zip(indices.tolist(), sketches, norms, strict=True):
            if norm == 0.0:
                continue
            unit = (sketch / norm).astype(np.float16)
            last = self.sketches.pop(index, None)
            self.sketches[index] = unit
            if last is not None:
                cosine = float(unit.astype(np.float64) @ last.astype(np.float64))
                self.sums[:, index] += (1.0, cosine, cosine**2)
                self.recent.append(cosine)
        self.recent = self.recent[-_RECENT:]
        while len(self.sketches) > _KEPT:
            del self.sketches[next(iter(self.sketches))]
        if len(self.recent) >= _NEEDED:
            self._fit(np.array(self.recent))

    def chances(self) -> Floats:
        """Return (n,) chances of not being noise, relative to a problem without a cosine."""
        number, total, squares = self.sums
        known = number > 0
        if len(self.recent) < _NEEDED:
            return np.ones(len(known))
        signal = squares - 2 * self.mean * total + number * self.mean**2
        odds = squares / (2 * self.noise_deviation**2) - signal / (2 * self.deviation**2)
        odds += number * np.log(self.noise_deviation / self.deviation)
        odds = np.clip(odds, -_MOST * number, _MOST * number)
        prior = np.log((1 - self.share) / self.share)
        chances = 1 / (1 + np.exp(-np.clip(prior + odds, -30.0, 30.0)))
        return np.minimum(1.0, np.where(known, chances / (1 - self.share), 1.0))

    def _fit(self, cosines: Floats, steps: int = 5) -> None:
        """Improve the mixture by a few steps of expectation maximisation."""
        for _ in range(steps):
            noise = (
                self.share
                / self.noise_deviation
                * np.exp(-(cosines**2) / (2 * self.noise_deviation**2))
            )
            signal = (
                (1 - self.share)
                / self.deviation
                * np.exp(-((cosines - self.mean) ** 2) / (2 * self.deviation**2))
            )
            weights = noise / np.maximum(noise + signal, 1e-300)
            count, rest = weights.sum(), (1 - weights).sum()
            self.share = float((count + _NOISE) / (len(cosines) + _NOISE + _SIGNAL))
            mean = ((1 - weights) @ cosines) / max(rest, 1e-9)
            self.mean = float(max(mean, _LOWEST_MEAN))
            self.noise_deviation = _deviation(float(weights @ cosines**2), count)
            self.deviation = _deviation(float((1 - weights) @ (cosines - self.mean) ** 2), rest)

    def state(self) -> dict[str, Any]:
        """Return the state as JSON-serializable data; sketches in base64."""
        kept = {str(i): base64.b64encode(s.tobytes()).decode() for i, s in self.sketches.items()}
        return {
            "sums": self.sums.tolist(),
            "recent": self.recent,
            "mixture": [self.share, self.mean, self.noise_deviation, self.deviation],
            "sketches": kept,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.sums = np.array(state["sums"], dtype=np.float64)
        self.recent = list(state["recent"])
        self.share, self.mean, self.noise_deviation, self.deviation = state["mixture"]
        self.sketches = {
            int(index): np.frombuffer(base64.b64decode(text), dtype=np.float16)
            for index, text in state["sketches"].items()
        }


def _deviation(squares: float, count: float) -> float:
    """Return a standard deviation within bounds, with one observation of the prior's 0.2."""
    return float(np.clip(np.sqrt((squares + 0.04) / (count + 1)), _NARROWEST, _WIDEST))
