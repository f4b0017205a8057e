"""The law of Langevin and of annealed Langevin themselves, without chains: the part of the error that is their own.

One computation, a density pushed through every step (``pushforward``), behind its two public doors.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab.densities.gaussian_mixture import GaussianMixture
from toylab.metrics.grid import Extent
from toylab.metrics.pushforward import Quadrature, Step, even, reaches

_PER_STD = 3  # points of the final grid per standard deviation of a step: the trapezoid rule is then exact to 1e-12
_LOST = 1e-10
_ROUNDING = 1e-15


@dataclass(frozen=True, eq=False, repr=False)
class AnnealedLaw:
    """The law of a sampler on a mixture, along the line through its modes, at the end of each level.

    Attributes:
        sigmas: the levels, shape [L]; 0 alone for plain Langevin.
        mode_weights: mass where each mode is the most likely, shape [L, K]: what ``metrics.mode_weights`` counts.
            They add up to 1 within 1e-10.
        variances: variance along the line given the most likely mode, shape [L, K]; nan for a weight below 1e-15,
            which is rounding.
        grid: positions along the line at the end, from the centre of the means, equally spaced, shape [m].
        density: of the law at the end there, shape [m].
    """

    sigmas: Tensor
    mode_weights: Tensor
    variances: Tensor
    grid: Tensor
    density: Tensor

    def __repr__(self) -> str:
        return text_table("AnnealedLaw", self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        ends = f"sigma from {float(self.sigmas[0]):.4g} to {float(self.sigmas[-1]):.4g}"
        modes = zip(
            self.mode_weights[0].tolist(), self.mode_weights[-1].tolist(), self.variances[-1].tolist(), strict=True
        )
        rows = [(f"mode {k}", f"weight {a:.4f} -> {b:.4f}, variance {v:.4g}") for k, (a, b, v) in enumerate(modes)]
        return [("levels", f"{len(self.sigmas)}, {ends}"), *rows]


def annealed_langevin_law(
    density: GaussianMixture,
    sigmas: Tensor,
    *,
    step_size: float,
    n_steps: int,
    extent: Extent,
    score_variance: float | None = None,
) -> AnnealedLaw:
    """Push a uniform start through every step of ``annealed_langevin`` with the exact score.

    A mixture of equal round Gaussians whose means lie on a line has a score whose part along the line depends on the
    position along the line alone. A step turns the density p there into

        p'(y) = integral N(y; x + alpha/2 s(x, sigma), alpha) p(x) dx,

    which Gauss-Legendre panels compute to all digits; each level has its own, narrow where the drift is steep. The
    range holds all that the law can reach, and the mass is checked to 1e-10. Held in memory is one banded matrix, of
    some 600 entries of 12 bytes per sqrt(alpha) of the range; one of more than 0.6 GB is refused.

    Args:
        density: components with one covariance v I and means on a line; its modes are counted.
        sigmas: the levels, as for ``annealed_langevin``.
        step_size: eps, the step at the last level.
        n_steps: steps per level.
        extent: the start is uniform on this rectangle (left, right, bottom, top).
        score_variance: v in the score that moves the chains, if it is not the density's own; 0 is the noised score
            that replaces variances (``museum.score_replacing_variances``).

    Raises:
        ValueError: for another mixture, a step too large to be stable, or one too fine for the range.
    """
    levels = validate.levels("sigmas", sigmas).tolist()
    step_size = validate.positive("step_size", step_size)
    if score_variance is not None and (score_variance := validate.finite("score_variance", score_variance)) < 0:
        raise ValueError(f"score_variance is {score_variance}: a variance is at least 0; None is the density's own.")
    steps = [step_size * (sigma / levels[-1]) ** 2 for sigma in levels]
    return _push(density, levels, steps, n_steps, extent, score_variance)


def langevin_law(density: GaussianMixture, *, step_size: float, n_steps: int, extent: Extent) -> AnnealedLaw:
    """Push a uniform start through every step of ``langevin`` with the exact score: one level, sigma = 0.

    Args:
        density: components with one covariance v I and means on a line.
        step_size: eps < 4 v.
        n_steps: number of steps.
        extent: the start is uniform on this rectangle (left, right, bottom, top).

    Raises:
        ValueError: for another mixture, a step too large to be stable, or one too fine for the range.
    """
    step_size = validate.positive("step_size", step_size)
    return _push(density, [0.0], [step_size], n_steps, extent, None)


def _push(
    density: GaussianMixture,
    levels: list[float],
    alphas: list[float],
    n_steps: int,
    extent: Extent,
    score_variance: float | None,
) -> AnnealedLaw:
    n_steps = validate.count("n_steps", n_steps)
    line = _line(density)
    start = _start(line, validate.extent("extent", extent))
    variance = line.variance if score_variance is None else score_variance
    steps = [
        Step(sigma, alpha, variance + sigma**2, line.means, line.log_weights)
        for sigma, alpha in zip(levels, alphas, strict=True)
    ]
    for step in steps:
        step.check_stable()
    ranges = reaches(steps, n_steps, start.reach)
    at = steps[0].quadrature(ranges[0], start.corners)
    mass = start.density(at.places) * at.weights
    rows, variances = [], []
    for k, step in enumerate(steps):
        mass = _repeated(step, at, mass, n_steps - 1)
        row, spread = _by_mode(mass, step, at.places, line)
        rows.append(row)
        variances.append(spread)
        last = k + 1 == len(steps)
        onto = even(step.std, _PER_STD, ranges[-1]) if last else steps[k + 1].quadrature(ranges[k + 1], ())
        found = step.kernel(onto.places, at.places) @ mass
        at, mass = onto, found * onto.weights
        if not abs(mass.sum() - 1) < _LOST:
            raise ValueError(
                f"the law has a mass of {mass.sum():.12g} after the steps at sigma = {step.sigma:.3g}, not 1: it is "
                "beyond double precision. Give means, extent and step_size of more alike sizes."
            )
    back = np.argsort(line.order)
    return AnnealedLaw(
        torch.tensor(levels, dtype=torch.float64, device="cpu"),
        torch.as_tensor(np.stack(rows)[:, back], device="cpu"),
        torch.as_tensor(np.stack(variances)[:, back], device="cpu"),
        torch.as_tensor(at.places, device="cpu"),
        torch.as_tensor(found, device="cpu"),
    )


def _repeated(step: Step, at: Quadrature, mass: np.ndarray, n_steps: int) -> np.ndarray:
    """The mass at the places of a quadrature after so many steps."""
    if n_steps == 0:
        return mass
    kernel = step.kernel(at.places, at.places)
    for _ in range(n_steps):
        mass = (kernel @ mass) * at.weights
    return mass


@dataclass(frozen=True, eq=False)
class _Line:
    """A mixture along the line through its means: their centre, direction and order, and what it is there."""

    centre: np.ndarray
    direction: np.ndarray
    order: np.ndarray
    means: np.ndarray
    log_weights: np.ndarray
    variance: float

    def regions(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each mode is the most likely, from [K] to [K]; nowhere if that is not from left to right."""
        gaps = self.means[:, None] - self.means
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = 0.5 * (self.means[:, None] + self.means)
            cuts = middle - self.variance * (self.log_weights[:, None] - self.log_weights) / gaps
        return np.where(gaps > 0, cuts, -np.inf).max(1), np.where(gaps < 0, cuts, np.inf).min(1)


def _line(density: GaussianMixture) -> _Line:
    if not isinstance(density, GaussianMixture):
        raise ValueError(f"density is a {type(density).__name__}: only a GaussianMixture has a law on a line.")
    means, covariances = density.means.detach().cpu().double(), density.covariances.detach().cpu().double()
    v = float(covariances[0, 0, 0])
    if not torch.allclose(covariances, v * torch.eye(2, dtype=torch.float64, device="cpu"), rtol=1e-9, atol=0):
        raise ValueError("density has components of different or elongated covariance: give equal round ones, v I.")
    centre = means.mean(0)
    _, size, directions = torch.linalg.svd(means - centre)
    if len(means) > 1 and float(size[1]) > 1e-9 * float(size[0]):
        raise ValueError("density has means that are not on a line: no single coordinate decides its mode weights.")
    positions, order = ((means - centre) @ directions[0]).sort()
    if len(means) > 1 and not float(positions.diff().min()) > 1e-9 * float(size[0]):
        raise ValueError("density has two components with one mean: give one component, with the sum of their weights.")
    log_weights = density.weights.detach().cpu().double().log()[order]
    return _Line(centre.numpy(), directions[0].numpy(), order.numpy(), positions.numpy(), log_weights.numpy(), v)


@dataclass(frozen=True)
class _Start:
    """The law along the line of a uniform start: the sum of two uniform numbers, of these widths."""

    centre: float
    wide: float
    narrow: float

    @property
    def corners(self) -> tuple[float, ...]:
        """Where the density bends or jumps."""
        outer, inner = 0.5 * (self.wide + self.narrow), 0.5 * (self.wide - self.narrow)
        return tuple(self.centre + side for side in (-outer, -inner, inner, outer))

    @property
    def reach(self) -> float:
        """The farthest place from the centre of the means."""
        return max(map(abs, self.corners))

    def density(self, u: np.ndarray) -> np.ndarray:
        """A trapezium."""
        inside = 0.5 * (self.wide + self.narrow) - np.abs(u - self.centre)
        density: np.ndarray = np.minimum(inside.clip(min=0.0), self.narrow) / (self.wide * self.narrow)
        return density


def _start(line: _Line, extent: Extent) -> _Start:
    left, right, bottom, top = extent
    middle = np.array([0.5 * (left + right), 0.5 * (bottom + top)])
    narrow, wide = sorted(np.abs(line.direction) * [right - left, top - bottom])
    return _Start(float((middle - line.centre) @ line.direction), float(wide), max(float(narrow), 1e-12 * float(wide)))


def _by_mode(mass: np.ndarray, step: Step, places: np.ndarray, line: _Line) -> tuple[np.ndarray, np.ndarray]:
    """Mass and variance where each mode is the most likely after one more step, in closed form given its start."""
    from scipy.special import ndtr  # slow to load

    low, high = line.regions()
    high = np.maximum(low, high)  # a mode that is nowhere the most likely has no mass
    off = step.moved(places)[:, None] - line.means
    ends = [(edge - line.means - off) / step.std for edge in (low, high)]
    share = ndtr(ends[1]) - ndtr(ends[0])
    pdfs = [np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi) for z in ends]
    slopes = [np.where(np.isfinite(z), z, 0.0) * pdf for z, pdf in zip(ends, pdfs, strict=True)]
    first = off * share - step.std * (pdfs[1] - pdfs[0])
    second = (
        (off**2 + step.alpha) * share - 2 * off * step.std * (pdfs[1] - pdfs[0]) - step.alpha * (slopes[1] - slopes[0])
    )
    w, m1, m2 = (mass @ part for part in (share, first, second))
    w, m1, m2 = w, *(np.divide(m, w, out=np.full_like(w, np.nan), where=w > _ROUNDING) for m in (m1, m2))
    return w, m2 - m1**2
