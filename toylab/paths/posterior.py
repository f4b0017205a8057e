"""What is known of the two ends of a path with Gaussian noise from the point between them, by the exact score.

For x = alpha x_1 + sigma z the score of x is s(x / alpha; sigma / alpha) / alpha, with s(.; level) that of the data
with plain noise, and Tweedie's formula gives both means:

    E[z | x] = -level s,      E[x_1 | x] = x / alpha + level^2 s,      level = sigma / alpha, s = s(x / alpha; level).

Towards alpha = 0 the second is a difference of numbers of size 1 / alpha. But it is smooth in alpha, and its value at
-alpha is that at -x, as z is symmetric: for small alpha it is interpolated from alpha = +-c, +-2c and +-3c, and at
alpha = 0 it gives the mean of the data. It is smooth if the data have moments: for tails as heavy as those of Student's
t with 2 degrees of freedom or fewer the interpolation is off by 1e-6 and more. Then E[z | x] = (x - alpha E[x_1 | x]) /
sigma. The density of x, p(x / alpha; sigma / alpha) / alpha^2, is treated likewise.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density

_SMALL = 2e-6  # alpha: rounding, eps / alpha, is then 1e-10


class Posterior(NamedTuple):
    """What is known at the points x = alpha x_1 + sigma z; in the dtype of x."""

    log_density: Tensor  # of x, shape [...]
    clean: Tensor  # E[x_1 | x], shape [..., 2]
    noise: Tensor  # E[z | x], shape [..., 2]
    score: Tensor  # of x, which is -E[z | x] / sigma, shape [..., 2]


def posterior(density: Density, x: Tensor, alpha: Tensor, sigma: Tensor) -> Posterior:
    """The density and the score of x and both means, computed in float64.

    Args:
        density: the law of x_1.
        x: points, shape [..., 2].
        alpha: at least 0, shape [] or one per point.
        sigma: likewise; not 0 where alpha is.
    """
    y, alpha, sigma = x.double(), alpha.double(), sigma.double()
    small = alpha < _SMALL
    log_q, clean, noise, score = _by_the_score(density, y, alpha.clamp(min=_SMALL), sigma)
    if not validate.readable(small) or bool(small.any()):
        near_log_q, near = _interpolated(density, y, alpha, sigma)
        level = torch.where(small, sigma, 1.0)[..., None]
        beside = (y - alpha[..., None] * near) / level
        log_q = torch.where(small, near_log_q, log_q)
        clean, noise = torch.where(small[..., None], near, clean), torch.where(small[..., None], beside, noise)
        score = torch.where(small[..., None], -beside / level, score)
    return Posterior(log_q.to(x), clean.to(x), noise.to(x), score.to(x))


def _by_the_score(density: Density, x: Tensor, alpha: Tensor, sigma: Tensor) -> Posterior:
    plain, level = x / alpha[..., None], sigma / alpha
    log_p, s = density.log_prob_and_score(plain, level)
    return Posterior(
        log_p - 2 * alpha.log(), plain + level[..., None] ** 2 * s, -level[..., None] * s, s / alpha[..., None]
    )


def _interpolated(density: Density, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Density and clean point from alpha = +-c, +-2c and +-3c; the odd part is alpha times an even one."""
    u = (alpha / _SMALL) ** 2
    shares = ((u - 4) * (u - 9) / 24, (u - 1) * (u - 9) / -15, (u - 1) * (u - 4) / 40)  # Lagrange's, at u = 1, 4, 9
    total = x.new_zeros((*x.shape[:-1], 3))
    for k, share in enumerate(shares, start=1):
        log_q, clean, *_ = _by_the_score(density, torch.stack([x, -x]), torch.full_like(alpha, k * _SMALL), sigma)
        here, mirrored = torch.cat([clean, log_q[..., None]], -1).unbind(0)
        odd = (alpha / (k * _SMALL))[..., None] * (here - mirrored)
        total = total + 0.5 * share[..., None] * (here + mirrored + odd)
    return total[..., 2], total[..., :2]
