"""The law of Langevin and of annealed Langevin themselves, without chains: the part of the error that is their own.

One computation, a density pushed through every step on a grid, behind its two public doors.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab.densities.gaussian_mixture import GaussianMixture
from toylab.metrics.grid import Extent

_PER_STD = 3  # grid points per standard deviation of the kernel: the trapezoid rule is then exact to 1e-12
_REACH = 9.0  # standard deviations kept on either side


@dataclass(frozen=True, eq=False, repr=False)
class AnnealedLaw:
    """The law of a sampler on a mixture, along the line through its modes, at the end of each level.

    Attributes:
        sigmas: the levels, shape [L]; 0 alone for plain Langevin.
        mode_weights: mass where each mode is the most likely, shape [L, K]: what ``metrics.mode_weights`` counts.
        variances: variance along the line given the most likely mode, shape [L, K].
        grid: positions along the line at the end, from the centre of the means, shape [m].
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
    """Push a uniform start through every step of ``annealed_langevin`` with the exact score, on a grid.

    A mixture of equal round Gaussians whose means lie on a line has a score whose part along the line depends on the
    position along the line alone. A step turns the density p there into

        p'(y) = integral N(y; x + alpha/2 s(x, sigma), alpha) p(x) dx,

    which a trapezoid rule of three nodes per sqrt(alpha) computes to all digits; each level has a grid of its own.

    Args:
        density: components with one covariance v I and means on a line; its modes are counted.
        sigmas: the levels, as for ``annealed_langevin``.
        step_size: eps, the step at the last level.
        n_steps: steps per level.
        extent: the start is uniform on this rectangle (left, right, bottom, top).
        score_variance: v in the score that moves the chains, if it is not the density's own; 0 is the noised score
            that replaces variances (``museum.score_replacing_variances``).

    Raises:
        ValueError: for another mixture, or a step too large to be stable.
    """
    levels = validate.levels("sigmas", sigmas).double().tolist()
    validate.positive("step_size", step_size)
    if score_variance is not None and validate.finite("score_variance", score_variance) < 0:
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
        ValueError: for another mixture, or a step too large to be stable.
    """
    validate.positive("step_size", step_size)
    return _push(density, [0.0], [step_size], n_steps, extent, None)


def _push(
    density: GaussianMixture,
    levels: list[float],
    steps: list[float],
    n_steps: int,
    extent: Extent,
    score_variance: float | None,
) -> AnnealedLaw:
    validate.count("n_steps", n_steps)
    validate.extent("extent", extent)
    centre, direction, means, order, v = _line(density)
    weights = density.weights.double()[order]
    between = 0.5 * (means[1:] + means[:-1]) - v * weights.log().diff() / means.diff()  # equally likely from both sides
    cuts = torch.cat([means.new_tensor([-math.inf]), between, means.new_tensor([math.inf])])
    if score_variance is not None:
        v = score_variance

    def drift(u: Tensor, spread: float, alpha: float) -> Tensor:
        r = (weights.log() - (u[:, None] - means) ** 2 / (2 * spread)).softmax(-1)
        return u + 0.5 * alpha * ((r * means).sum(-1) - u) / spread

    grid, mass = _start(centre, direction, extent)
    reach = float(grid.abs().max()) + float(means.abs().max())
    rows, variances = [], []
    for sigma, alpha in zip(levels, steps, strict=True):
        spread = v + sigma**2
        if alpha >= 4 * spread:
            raise ValueError(
                f"the step at sigma = {sigma:.3g} is {alpha:.3g}, which is unstable: it must be below "
                f"4 (v + sigma^2) = {4 * spread:.3g}. Give a smaller step_size."
            )
        inflated = math.sqrt(spread / (1 - alpha / (4 * spread)))
        reach = max(reach, float(means.abs().max()) + _REACH * inflated)
        h = math.sqrt(alpha) / _PER_STD
        fine = h * torch.arange(-math.ceil(reach / h), math.ceil(reach / h) + 1, dtype=torch.float64)
        at, step = drift(grid, spread, alpha), None
        for k in range(n_steps):
            if k == n_steps - 1:
                row, variance = _by_mode(mass, at, alpha, cuts)
                rows.append(row)
                variances.append(variance)
            if k == 0:
                mass, at = h * (_kernel(fine, at, alpha) @ mass), drift(fine, spread, alpha)
            else:
                step = h * _kernel(fine, at, alpha) if step is None else step
                mass = step @ mass
        grid = fine
        reach = float(means.abs().max()) + _REACH * inflated
    back = order.argsort()
    return AnnealedLaw(
        torch.tensor(levels, dtype=torch.float64),
        torch.stack(rows)[:, back],
        torch.stack(variances)[:, back],
        grid,
        mass / (grid[1] - grid[0]),
    )


def _line(density: GaussianMixture) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    """Centre of the means, direction of their line, sorted positions along it with their order, the common variance."""
    if not isinstance(density, GaussianMixture):
        raise ValueError(f"density is a {type(density).__name__}: only a GaussianMixture has a law on a line.")
    means, covariances = density.means.double(), density.covariances.double()
    v = float(covariances[0, 0, 0])
    if not torch.allclose(covariances, v * torch.eye(2, dtype=torch.float64), rtol=1e-9, atol=0):
        raise ValueError("density has components of different or elongated covariance: give equal round ones, v I.")
    centre = means.mean(0)
    _, size, directions = torch.linalg.svd(means - centre)
    if len(means) > 1 and float(size[1]) > 1e-9 * float(size[0]):
        raise ValueError("density has means that are not on a line: no single coordinate decides its mode weights.")
    positions, order = ((means - centre) @ directions[0]).sort()
    return centre, directions[0], positions, order, v


def _start(centre: Tensor, direction: Tensor, extent: Extent) -> tuple[Tensor, Tensor]:
    """The law along the line of a uniform start: positions and masses of the midpoints of n x n cells."""
    left, right, bottom, top = extent
    n = 100
    x = left + (right - left) * (torch.arange(n, dtype=torch.float64) + 0.5) / n
    y = bottom + (top - bottom) * (torch.arange(n, dtype=torch.float64) + 0.5) / n
    u = (torch.cartesian_prod(x, y) - centre) @ direction
    return u, torch.full_like(u, 1 / n**2)


def _kernel(to: Tensor, mean: Tensor, alpha: float) -> Tensor:
    """N(to_i; mean_j, alpha), shape [i, j]."""
    return torch.exp(-((to[:, None] - mean) ** 2) / (2 * alpha)) / math.sqrt(2 * math.pi * alpha)


def _by_mode(mass: Tensor, mean: Tensor, alpha: float, cuts: Tensor) -> tuple[Tensor, Tensor]:
    """Mass and variance between the cuts after one more step, in closed form given where it starts."""
    std = math.sqrt(alpha)
    z = (cuts[None] - mean[:, None]) / std
    cdf, pdf = torch.special.ndtr(z), torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    zpdf = torch.where(z.isfinite(), z, 0.0) * pdf
    share = cdf.diff(dim=1)
    first = mean[:, None] * share - std * pdf.diff(dim=1)
    second = (mean**2 + alpha)[:, None] * share - 2 * mean[:, None] * std * pdf.diff(dim=1) - alpha * zpdf.diff(dim=1)
    w, m1, m2 = (mass @ part for part in (share, first, second))
    return w, m2 / w - (m1 / w) ** 2
