"""A density on a line, pushed through steps of Langevin on a mixture: the quadrature behind ``annealed_langevin_law``.

A step takes the density p to p'(y) = integral N(y; m(x), alpha) p(x) dx, m(x) = x + alpha/2 s(x). The integral is taken
by Gauss-Legendre panels, as narrow as N(y; m(x), alpha) is in x, and the range holds all that the law can reach.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

REACH = 9.0  # standard deviations kept on either side: beyond lies a mass of 2e-19
MOST_ENTRIES = 50_000_000  # of a banded matrix, 12 bytes each: 0.6 GB
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PANEL = 4.0  # standard deviations of the integrand within a panel: exact to 1e-15 for a Gaussian
_BEND = 5.0  # widths of the bend of m between two means within a panel, likewise
_UNSEEN = 1e-14  # a bend of m by so many standard deviations of a step makes no difference
_AT_ONCE = 1_000_000  # entries


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Places in rising order, and weights: the integral of f is the sum of f(places) weights. Shape [n]."""

    places: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Step:
    """One step of Langevin along the line, x -> N(m(x), alpha), for a mixture of equal variances.

    Attributes:
        sigma: the noise level, for messages.
        alpha: the variance of the step.
        spread: the variance of each component in the score, v + sigma^2.
        means: of the components along the line, rising, shape [K].
        log_weights: shape [K].
    """

    sigma: float
    alpha: float
    spread: float
    means: np.ndarray
    log_weights: np.ndarray

    @property
    def pull(self) -> float:
        """a in m(x) = (1 - a) x + a E[mean | x]; stable below 2."""
        return self.alpha / (2 * self.spread)

    @property
    def std(self) -> float:
        """Standard deviation of the noise of the step."""
        return math.sqrt(self.alpha)

    def check_stable(self) -> None:
        """Raise ``ValueError`` unless the step is stable."""
        if self.pull >= 2:
            raise ValueError(
                f"the step at sigma = {self.sigma:.3g} is {self.alpha:.3g}, which is unstable: it must be below "
                f"4 (v + sigma^2) = {4 * self.spread:.3g}. Give a smaller step_size."
            )

    def moved(self, x: np.ndarray) -> np.ndarray:
        """m(x), shape of x [n]."""
        share = self._log_shares(x)
        share = np.exp(share - share.max(-1, keepdims=True))
        moved: np.ndarray = x + self.pull * (share @ self.means / share.sum(-1) - x)
        return moved

    def quadrature(self, reach: float, corners: tuple[float, ...]) -> Quadrature:
        """Panels over [-reach, reach], with edges at the corners of the density, fit for this step."""
        longest = _PANEL * self.std / math.hypot(1, 1 - self.pull)
        self._check_size(4 * reach * REACH * self.std * (len(_NODES) / longest) ** 2)
        edges = np.unique([-reach, *(c for c in corners if -reach < c < reach), reach])
        pieces = [
            np.linspace(low, high, math.ceil((high - low) / longest) + 1)
            for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]
        low, high = (np.concatenate([piece[part] for piece in pieces]) for part in (slice(-1), slice(1, None)))
        fine: list[tuple[np.ndarray, np.ndarray]] = []
        while len(low):
            done = self._resolved(low, high)
            fine.append((low[done], high[done]))
            low, high = low[~done], high[~done]
            middle = 0.5 * (low + high)
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        low, high = (np.sort(np.concatenate(ends)) for ends in zip(*fine, strict=True))
        half = 0.5 * (high - low)[:, None]
        return Quadrature((0.5 * (low + high)[:, None] + half * _NODES).ravel(), (half * _WEIGHTS).ravel())

    def kernel(self, to: np.ndarray, start: np.ndarray) -> "csc_matrix":
        """N(to_i; m(start_j), alpha), shape [i, j], without the entries that are negligible."""
        from scipy.sparse import csc_matrix  # slow to load, and needed only here

        mean = self.moved(start)
        first = to.searchsorted(mean - REACH * self.std)
        ends = np.concatenate([[0], (to.searchsorted(mean + REACH * self.std) - first).cumsum()])
        self._check_size(ends[-1])
        rows, values = np.empty(ends[-1], dtype=np.int32), np.empty(ends[-1])
        scale = 1 / (self.std * math.sqrt(2 * math.pi))
        columns = [*range(0, len(start), max(1, _AT_ONCE * len(start) // max(1, ends[-1]))), len(start)]
        for a, b in zip(columns[:-1], columns[1:], strict=True):
            counts, part = np.diff(ends[a : b + 1]), slice(ends[a], ends[b])
            rows[part] = np.arange(ends[a], ends[b]) + np.repeat(first[a:b] - ends[a:b], counts)
            values[part] = scale * np.exp(-0.5 * ((to[rows[part]] - np.repeat(mean[a:b], counts)) / self.std) ** 2)
        return csc_matrix((values, rows, ends), shape=(len(to), len(start)))

    def _log_shares(self, x: np.ndarray) -> np.ndarray:
        """log of the posterior probability of each component, up to a constant per place, shape [n, K]."""
        shares: np.ndarray = self.log_weights - (x[:, None] - self.means) ** 2 / (2 * self.spread)
        return shares

    def _resolved(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Which of the panels are narrow enough, by bounds on m' and on where m bends.

        Ratios of the components' shares are exponential in x, so that their largest value is at an end of the panel.
        """
        likeliest = self._log_shares(0.5 * (low + high)).argmax(-1)[:, None]
        ratios = [s - np.take_along_axis(s, likeliest, -1) for s in (self._log_shares(low), self._log_shares(high))]
        share = np.exp(np.maximum(*ratios).clip(max=0.0))
        away = np.abs(self.means - self.means[likeliest])
        variance = np.minimum((share * away**2).sum(-1), 0.25 * np.ptp(self.means) ** 2)
        slope = np.maximum(abs(1 - self.pull), 1 - self.pull + self.pull * variance / self.spread)
        bend = np.where(self.pull * share * away > _UNSEEN * self.std, away, 0.0).max(-1)
        narrow = (high - low) * np.sqrt(1 + slope**2) <= 1.0001 * _PANEL * self.std
        resolved: np.ndarray = narrow & ((high - low) * bend <= _BEND * self.spread)
        return resolved

    def _check_size(self, entries: float) -> None:
        if entries > MOST_ENTRIES:
            raise ValueError(
                f"the steps at sigma = {self.sigma:.3g} have a standard deviation of {self.std:.3g}, too fine for the "
                f"range of the law: their matrix would take {12e-9 * entries:.2g} GB, more than the "
                f"{12e-9 * MOST_ENTRIES:.2g} allowed. Give a larger step_size, or a smaller extent."
            )


def even(std: float, per_std: int, reach: float) -> Quadrature:
    """Equally spaced places over [-reach, reach], for a density as smooth as N(0, std^2): the trapezoid rule."""
    n = math.ceil(reach * per_std / std)
    places = std / per_std * np.arange(-n, n + 1, dtype=np.float64)
    return Quadrature(places, np.full_like(places, std / per_std))


def reaches(steps: list[Step], n_steps: int, start: float) -> list[float]:
    """Half the range of the law while each step is repeated, and last its half range at the end.

    x <- (1 - a) x + a mean + sqrt(alpha) z is linear in the means and in the noise: a part that is bounded, whichever
    means they were, plus a Gaussian one.
    """
    bounded, variance, found = start, 0.0, []
    for step in steps:
        largest = float(np.abs(step.means).max())
        reach = bounded + REACH * math.sqrt(variance)
        for _ in range(n_steps):
            bounded = abs(1 - step.pull) * bounded + step.pull * largest
            variance = (1 - step.pull) ** 2 * variance + step.alpha
            reach = max(reach, bounded + REACH * math.sqrt(variance))
        found.append(reach)
    return [*found, bounded + REACH * math.sqrt(variance)]
