"""What is known of the two ends of a path with Gaussian noise from the point between them, by the exact score.

For x = alpha x_1 + sigma z the score of x is s(x / alpha; sigma / alpha) / alpha, with s(.; level) that of the data
with plain noise, and Tweedie's formula gives both means:

    E[z | x] = -level s,      E[x_1 | x] = x / alpha + level^2 s,      level = sigma / alpha, s = s(x / alpha; level).

Towards alpha = 0 the second is a difference of numbers of size 1 / alpha. But it is smooth in alpha, and its value at
-alpha is that at -x, as z is symmetric: for small alpha it is interpolated from alpha = +-c, +-2c and +-3c. That holds
for every density, and at alpha = 0 it gives the mean of the data. Then E[z | x] = (x - alpha E[x_1 | x]) / sigma.
"""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density

_SMALL = 2e-4  # alpha: rounding, eps / alpha, is then 1e-12, and the error of interpolation, of order alpha^6, less


def posterior_means(density: Density, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """E[x_1 | x] and E[z | x] for x = alpha x_1 + sigma z, each of the shape and dtype of x; computed in float64.

    Args:
        density: the law of x_1.
        x: points, shape [..., 2].
        alpha: at least 0, shape [] or one per point.
        sigma: likewise; not 0 where alpha is.
    """
    y, alpha, sigma = x.double(), alpha.double(), sigma.double()
    small = alpha < _SMALL
    clean, noise = _by_the_score(density, y, alpha.clamp(min=_SMALL), sigma)
    if not (validate.readable(small) and validate.readable(x)):
        near, beside = _near_the_source(density, y, alpha, torch.where(small, sigma, 1.0))
        clean, noise = torch.where(small[..., None], near, clean), torch.where(small[..., None], beside, noise)
    elif bool(small.any()):  # for these points alone, as it takes the score six times
        small = small.expand(x.shape[:-1])
        alpha, sigma = (part.expand(x.shape[:-1])[small] for part in (alpha, sigma))
        near, beside = _near_the_source(density, y[small], alpha, sigma)
        column = small[..., None]
        clean, noise = clean.masked_scatter(column, near), noise.masked_scatter(column, beside)
    return clean.to(x), noise.to(x)


def _by_the_score(density: Density, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    plain, level = x / alpha[..., None], sigma / alpha
    s = density.score(plain, level)
    return plain + level[..., None] ** 2 * s, -level[..., None] * s


def _near_the_source(density: Density, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    clean = _interpolated(density, x, alpha, sigma)
    return clean, (x - alpha[..., None] * clean) / sigma[..., None]


def _interpolated(density: Density, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """E[x_1 | x] from its values at alpha = +-c, +-2c and +-3c; the odd part is alpha times an even one."""
    u = (alpha / _SMALL) ** 2
    shares = ((u - 4) * (u - 9) / 24, (u - 1) * (u - 9) / -15, (u - 1) * (u - 4) / 40)  # Lagrange's, at u = 1, 4, 9
    total = torch.zeros_like(x)
    for k, share in enumerate(shares, start=1):
        both = torch.stack([x, -x])
        here, mirrored = _by_the_score(density, both, torch.full_like(alpha, k * _SMALL), sigma)[0].unbind(0)
        odd = (alpha / (k * _SMALL))[..., None] * (here - mirrored)
        total = total + 0.5 * share[..., None] * (here + mirrored + odd)
    return total
