"""Which problems pull nowhere: the agreement of a problem's gradient with its own earlier one.

When a problem is trained on again, the cosine c of its new sketch with the last one says whether
it still pulls in the same direction. A problem with random rewards does not: its cosines scatter
around 0, whatever its success rate. Cosines come from two kinds of problems,

    noise: c ~ N(0, s0^2)       signal: c ~ N(m, s1^2),  m > 0

All negative cosines are taken as noise, and as many positive ones, mirrored. What is left of the
positive ones is the signal: so the share of noise and both moments follow from sums over the recent
cosines of all problems, and a problem's own cosines give its posterior odds. The mixture is ours;
that gradients of coins have cosines near 0, and those of problems that can be learned do not, was
measured (docs/concepts/curriculum.md).
"""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnalign.curriculum.base import Floats, Indices

#: Cosines that the mixture is fitted to, the most recent ones.
_RECENT = 2_000
#: Cosines needed before a problem is doubted, and by how many standard deviations (of noise alone)
#: more of them have to be positive than negative.
_NEEDED, _CERTAIN = 20, 3.0
#: Bounds of the standard deviations, of the share of noise, and of one cosine's log odds.
_NARROWEST, _WIDEST, _SHARES, _MOST = 0.05, 0.5, (0.01, 0.9), 3.0
#: Cosines that are remembered of each problem.
_REMEMBERED = 8
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
        >>> chances = agreement.posterior()
        >>> bool(chances[:20].min() > 0.5), bool(chances[20:].max() < 0.5)
        (True, True)
    """

    def __init__(self, num_problems: int) -> None:
        #: (n, 8) the latest cosines of each problem, NaN where there are fewer.
        self.cosines = np.full((num_problems, _REMEMBERED), np.nan, dtype=np.float32)
        self.recent: list[float] = []
        self.fitted = False
        self.share, self.mean, self.noise_deviation, self.deviation = 0.0, 0.0, 0.0, 0.0
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
                self.cosines[index] = np.roll(self.cosines[index], 1)
                self.cosines[index, 0] = cosine
                self.recent.append(cosine)
        self.recent = self.recent[-_RECENT:]
        while len(self.sketches) > _KEPT:
            del self.sketches[next(iter(self.sketches))]
        self._fit(np.array(self.recent))

    def posterior(self) -> Floats:
        """Return (n,) chances of not being noise; NaN for problems without a cosine."""
        chances = np.full(len(self.cosines), np.nan)
        if not self.fitted:
            return chances
        known = self._known()
        # A cosine above the signal's mean is no less a signal than the mean.
        cosines = np.minimum(self.cosines[known].astype(np.float64), self.mean)
        noise = _log_density(cosines, 0.0, self.noise_deviation)
        signal = _log_density(cosines, self.mean, self.deviation)
        odds = np.nansum(np.clip(signal - noise, -_MOST, _MOST), axis=1)
        odds += np.log((1 - self.share) / self.share)
        chances[known] = 1 / (1 + np.exp(-np.clip(odds, -30.0, 30.0)))
        return chances

    def weights(self) -> Floats:
        """Return (n,) chances of not being noise, as shares of an unknown problem's, up to 1."""
        relative = self.posterior() / (1 - self.share)
        return np.where(np.isnan(relative), 1.0, np.minimum(relative, 1.0))

    def _known(self) -> Indices:
        """Return the problems that have a cosine."""
        return np.flatnonzero(~np.isnan(self.cosines[:, 0]))

    def _fit(self, cosines: Floats) -> None:
        """Find share and moments, if there is enough signal."""
        above, below = cosines[cosines > 0], cosines[cosines < 0]
        count = len(above) - len(below)
        needed = _CERTAIN * np.sqrt(len(cosines))
        self.fitted = bool(len(cosines) >= _NEEDED and count >= needed)
        if not self.fitted:
            return
        self.share = float(np.clip(2 * len(below) / len(cosines), *_SHARES))
        # One more noise cosine of 0.2 keeps the deviation from being 0.
        self.noise_deviation = _deviation(float(below @ below + 0.04) / (len(below) + 1))
        self.mean = float(min((above.sum() + below.sum()) / count, above.max()))
        self.deviation = _deviation(float(above @ above - below @ below) / count - self.mean**2)

    def state(self) -> dict[str, Any]:
        """Return the state as JSON-serializable data; sketches in base64."""
        kept = {str(i): base64.b64encode(s.tobytes()).decode() for i, s in self.sketches.items()}
        return {
            "cosines": {
                str(i): self.cosines[i][~np.isnan(self.cosines[i])].tolist()
                for i in self._known().tolist()
            },
            "recent": self.recent,
            "fitted": self.fitted,
            "mixture": [self.share, self.mean, self.noise_deviation, self.deviation],
            "sketches": kept,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.cosines[:] = np.nan
        for index, cosines in state["cosines"].items():
            self.cosines[int(index), : len(cosines)] = cosines
        self.recent, self.fitted = list(state["recent"]), state["fitted"]
        self.share, self.mean, self.noise_deviation, self.deviation = state["mixture"]
        self.sketches = {
            int(index): np.frombuffer(base64.b64decode(text), dtype=np.float16)
            for index, text in state["sketches"].items()
        }


def _deviation(variance: float) -> float:
    return float(np.clip(np.sqrt(max(variance, 0.0)), _NARROWEST, _WIDEST))


def _log_density(values: Floats, mean: float, deviation: float) -> Floats:
    """Return the normal log-density, up to a constant."""
    found: Floats = -((values - mean) ** 2) / (2 * deviation**2) - np.log(deviation)
    return found
