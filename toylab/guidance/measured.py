"""A score told of a linear measurement, by a Gaussian guess of the clean point behind each noisy one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.score import NoiseConditionalScore, at, value_and_vjp

Rows: TypeAlias = Tensor | Sequence[float] | Sequence[Sequence[float]]  # of A
Values: TypeAlias = Tensor | Sequence[float] | float  # of y

Spread = Callable[[Tensor, Tensor, Tensor], Tensor]
"""spread(A, slopes, variance): A C A^T [..., m, m], from A [m, 2], A dm/dx [..., m, 2] and sigma^2 [..., 1, 1]."""


class Twist(NamedTuple):
    """What a guess says of noisy points: their score s [..., 2], log q(y | x) [...] and its gradient in x [..., 2]."""

    score: Tensor
    log_likelihood: Tensor
    gradient: Tensor


@dataclass(frozen=True, eq=False)
class MeasuredScore:
    """s(x, sigma) + grad_x log q(y | x), as ``dps``, ``pigdm`` and ``tmpd`` make it: a noise-conditional score.

    For y = A x_0 + noise z the law of x_0 given the noisy point x is guessed to be N(m, C), hence

        q(y | x) = N(y; A m, R),    R = noise^2 I + A C A^T,    m = x + sigma^2 s(x, sigma),
        grad_x log q(y | x) = (dm/dx)^T A^T R^-1 (y - A m),    R held fixed.

    With the exact score m is the mean of x_0 (Tweedie's formula), and where C is its covariance and both are those of
    a Gaussian, q is exact, and so is the score: that of the noised posterior.

    Args:
        score: s(x, sigma), exact (``p.score``) or learned; it must treat each point by itself.
        A: the matrix, shape [m, 2] with m = 1 or 2, or a row [2].
        y: what was measured, shape [m], or one per point, [n, m].
        noise: standard deviation of the noise of y, > 0.
        spread: A C A^T, the covariance of A x_0, from A, A dm/dx and sigma^2.
    """

    score: NoiseConditionalScore
    A: Tensor
    y: Tensor
    noise: float
    spread: Spread

    def __post_init__(self) -> None:
        validate.score("score", self.score, of_sigma=True)
        A, y, noise = validate.measurement(self.A, self.y, self.noise)
        vars(self).update(A=A, y=y, noise=noise)

    def __call__(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """s(x, sigma) + grad_x log q(y | x), shape of x: one evaluation of s, and a backward pass per row of A."""
        twist = self.twist(x, sigma)
        return twist.score + twist.gradient

    def twist(self, x: Tensor, sigma: Tensor | float) -> Twist:
        """The score alone, log q(y | x) and its gradient, at the points x [..., 2]; sigma a number or one per point."""
        level = validate.noise_level(sigma, validate.points("x", x))
        A, y = self._measurement(x)
        rows = A.view(len(A), *(1,) * (x.ndim - 1), 2)
        s, products = value_and_vjp(at(self.score, level), x, rows)
        variance = torch.as_tensor(level, dtype=x.dtype, device=x.device)[..., None, None] ** 2
        m = x + variance[..., 0] * s
        slopes = A + variance * products.movedim(0, -2)
        R = self._of_noise(x) + self.spread(A, slopes, variance)
        log_likelihood, pull = _log_normal(y - m @ A.mT, R)
        return Twist(s, log_likelihood, (pull[..., None, :] @ slopes)[..., 0, :])

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log N(y; A x, noise^2 I) of clean points x [..., 2], shape [...]."""
        A, y = self._measurement(validate.points("x", x))
        residual = y - x @ A.mT
        return _log_normal(residual, self._of_noise(x))[0]

    def _of_noise(self, x: Tensor) -> Tensor:
        return self.noise**2 * torch.eye(len(self.A), dtype=x.dtype, device=x.device)

    def _measurement(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A and y in the dtype and on the device of the points; kept, as a step that is recorded copies nothing."""
        validate.measurements_of(self.y, x)
        kept: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = vars(self).setdefault("_kept", {})
        key = (x.dtype, x.device)
        if key not in kept:
            with torch.inference_mode(False), torch.no_grad():
                kept[key] = self.A.to(x.device, x.dtype), self.y.to(x.device, x.dtype)
        return kept[key]


def _log_normal(residual: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
    """log N(residual; 0, R) [...] and R^-1 residual [..., m], for m = 1 or 2."""
    m = residual.shape[-1]
    if m == 1:
        det = R[..., 0, 0]
        pull = residual / R[..., 0]
    else:
        a, b, c = R[..., 0, 0], R[..., 0, 1], R[..., 1, 1]
        det = a * c - b**2
        first, second = residual[..., 0], residual[..., 1]
        pull = torch.stack([c * first - b * second, a * second - b * first], -1) / det[..., None]
    return -0.5 * ((residual * pull).sum(-1) + det.log() + m * math.log(2 * math.pi)), pull
