"""The path of any two schedules: x_t = alpha(t) x_1 + sigma(t) z."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.random import normal_like
from toylab._internal.reverse_mode import values_and_vjps
from toylab.densities.density import Density
from toylab.paths.path import Schedule
from toylab.paths.sources import exact_irreducible, exact_velocity
from toylab.paths.times import check_ends, time_like, time_tensor


@dataclass(frozen=True)
class GaussianPath:
    """x_t = alpha(t) x_1 + sigma(t) x_0, for two schedules of your own, a stochastic interpolant; x_0 ~ N(0, I).

    Noise becomes data if alpha rises from 0 to 1 and sigma falls from 1 to 0. Their derivatives are automatic.
    Source: Lipman et al. 2023 (arXiv:2210.02747), section 4; Albergo & Vanden-Eijnden 2023 (arXiv:2209.15571), eq. 5.

    Args:
        alpha: maps times in [0, 1] to the share of the data, at least 0, shape of t; made of torch's functions.
        sigma: maps times to the share of x_0, the standard deviation of the noise, at least 0, not 0 where alpha is.
        source: another law of x_0, as in ``Linear``.

    >>> path = GaussianPath(lambda t: t**2, lambda t: 1 - t)
    >>> path.rates(torch.tensor(0.5))
    (tensor(1.), tensor(-1.))
    """

    alpha: Schedule
    sigma: Schedule
    source: Density | None = None

    def __post_init__(self) -> None:
        if self.source is not None:
            require_law("source", self.source)
        check_schedule("alpha", self.alpha, "lambda t: t")
        check_schedule("sigma", self.sigma, "lambda t: 1 - t")

    def rates(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """alpha'(t) and sigma'(t), each of the shape of t."""
        time = time_tensor(t)
        return rate(self.alpha, time), rate(self.sigma, time)

    def start(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws of x_0, of the shape, dtype and device of ``like`` [..., 2]."""
        return start_of(self.source, like, generator)

    def point(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """alpha(t) x1 + sigma(t) x0, for points [..., 2] and a time or one per point."""
        check_ends(x0, x1)
        time = time_like(t, x1)
        return self.alpha(time)[..., None] * x1 + self.sigma(time)[..., None] * x0

    def derivative(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """alpha'(t) x1 + sigma'(t) x0, shape [..., 2]."""
        check_ends(x0, x1)
        alpha_rate, sigma_rate = self.rates(time_like(t, x1))
        return alpha_rate[..., None] * x1 + sigma_rate[..., None] * x0

    def velocity(self, density: Density, x: Tensor, t: Tensor | float) -> Tensor:
        """E[alpha' x_1 + sigma' x_0 | x_t = x], exact by the noised score of ``density``; shape of x [..., 2].

        Args:
            density: p, the law of x_1.
            x: points, shape [..., 2].
            t: the time, a number or one per point.

        Raises:
            ValueError: where sigma(t) = 0 if the law has no density of its own (points, curves); from a source of which
                it is not known, as in ``Linear``.
        """
        return exact_velocity(self, self.source, require_law("density", density), x, t)

    def irreducible(self, density: Density, t: float) -> float:
        """1/2 E|x'_t - v(x_t, t)|^2 at the time t, by quadrature.

        Raises:
            ValueError: from a source other than N(0, I) or a Gaussian mixture; from one with elongated components to a
                law that is known by its density alone (``from_energy``, truncated ones); from several components to a
                mixture of laws with edges and others; if the law has no second moment, or no grid resolves it.
        """
        return exact_irreducible(self, self.source, require_law("density", density), t)


def cosine(source: Density | None = None) -> GaussianPath:
    """x_t = sin(pi t / 2) x_1 + cos(pi t / 2) x_0, so that data of variance 1 keep it; x_0 ~ N(0, I) if not given.

    Source: Albergo & Vanden-Eijnden 2023 (arXiv:2209.15571), section 3; the schedule of Nichol & Dhariwal 2021
    (arXiv:2102.09672) in continuous time, backwards.

    >>> cosine().alpha(torch.tensor(1.0))
    tensor(1.)
    """
    return GaussianPath(_QuarterTurn(), _QuarterTurn(falling=True), source)


def start_of(source: Density | None, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws of the source, or of N(0, I), of the shape, dtype and device of ``like`` [..., 2]."""
    validate.points("like", like)
    if source is None:
        return normal_like(like, generator)
    return source.sample(like.shape[:-1], generator=generator).to(like)


def require_law(name: str, density: Density) -> Density:
    """Return ``density``, or raise ``TypeError`` unless it is one."""
    if not isinstance(density, Density):
        raise TypeError(f"{name} is a {type(density).__name__}: give a density, such as densities.two_modes().")
    return density


@dataclass(frozen=True)
class _QuarterTurn:
    """sin(pi t / 2), or falling sin(pi (1 - t) / 2), which is 0 at t = 1, where cos(pi t / 2) is 6e-17."""

    falling: bool = False

    def __call__(self, t: Tensor) -> Tensor:
        return torch.sin(0.5 * math.pi * (1 - t if self.falling else t))

    def rate(self, t: Tensor) -> Tensor:
        """Its derivative; automatic, it would take as long as a small network."""
        return (
            -0.5 * math.pi * torch.sin(0.5 * math.pi * t)
            if self.falling
            else 0.5 * math.pi * torch.cos(0.5 * math.pi * t)
        )


def check_schedule(name: str, schedule: Schedule, example: str) -> None:
    """Raise unless it gives one number per time, at least 0."""
    validate.function(name, schedule, example, takes=1)
    t = torch.tensor([0.25, 0.5], dtype=torch.float64, device="cpu")
    found = schedule(t)
    if not isinstance(found, Tensor) or found.shape != t.shape:
        given = f"shape {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(
            f"{name} gives {given} for times of shape [2]: it must give one number per time, as {example} does, or "
            "torch.ones_like for a constant."
        )
    if bool((found < 0).any()):
        raise ValueError(
            f"{name} gives {short(found.tolist())} at the times {short(t.tolist())}: shares of a path are not "
            "negative. Give its absolute value; for the other sign, change that of the data."
        )


def rate(schedule: Schedule, t: Tensor) -> Tensor:
    """The derivative of a schedule by reverse mode, which works inside of a forward-mode divergence, too."""
    if isinstance(schedule, _QuarterTurn):
        return schedule.rate(t)
    with torch.inference_mode(False):
        t = t.clone() if t.is_inference() else t
        _, (rate,) = values_and_vjps(lambda t: (schedule(t),), t)
    return rate.detach()
