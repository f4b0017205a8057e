"""x_t = a x_0 + b x_1 + gamma z from a mixture of round Gaussians to any density, exact by its noised score.

Given component j of the source, x_0 = n_j + d_j z_0, x_t - a n_j = b x_1 + l y with l^2 = (a d_j)^2 + gamma^2 and
l y = a d_j z_0 + gamma z: data with Gaussian noise, whose density and score s and posterior means ``posterior`` gives.
A share a d_j / l of E[y | x_t] is of z_0, and E[z | x_t] = -gamma s, so that

    E[x'_t | x_t, j] = a' (n_j + d_j a d_j / l E[y | x_t, j]) + b' E[x_1 | x_t, j] - gamma gamma' s(x_t | j).

Velocity and score are means over j with the weights P(j | x_t = x). With r = a / b, what x_1 + r x_0 leaves of x_0 is
what it leaves within the components, sum_j P(j) d_j^2 excess(r d_j), and between them: the variance over j of
E[x_0 | x_t, j], which is that of E[x_1 | x_t, j] / r.
"""

import math
from functools import lru_cache, partial

import torch
from torch import Tensor

from toylab._internal.display import short
from toylab.densities import GaussianMixture
from toylab.densities.density import Density
from toylab.densities.smoothing import (
    Fields,
    Places,
    bounds,
    continued,
    excess,
    law,
    merged,
    nodes,
    over,
    resolve,
    sheet_below,
)
from toylab.paths.posterior import Posterior, posterior
from toylab.paths.shares import Shares

_DROWNED = 200.0  # widths of the data, to the share of 2e-5
_UNSURE = 1e-4  # relative difference of two continuations towards the end of the path


def is_round(source: GaussianMixture) -> bool:
    """Whether every component is one with the covariance d^2 I."""
    d = source.covariances.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    return bool((source.covariances == d * torch.eye(2, device="cpu").to(d)).all())


def round_velocity(source: GaussianMixture, density: Density, x: Tensor, shares: Shares) -> Tensor:
    """E[x'_t | x_t = x], shape and dtype of x [..., 2]; computed in float64."""
    y = x.double()
    _, n, d = _components(source, y)
    a, _, a_rate, b_rate, latent, latent_slope = shares.columns(2, y)
    r, given = _given_each(source, density, y, shares)
    own, level = a[..., 0] * d, _level(a, d, latent)
    share = torch.where(level > 0, own / torch.where(level > 0, level, 1.0), 1.0)[..., None]
    each = a_rate * (n + d[:, None] * share * given.noise) + b_rate * given.clean - latent_slope * given.score
    return (r[..., None] * each).sum(-2).to(x)


def round_score(source: GaussianMixture, density: Density, x: Tensor, shares: Shares) -> Tensor:
    """The score of x_t, shape and dtype of x [..., 2]; computed in float64."""
    r, given = _given_each(source, density, x.double(), shares)
    return (r[..., None] * given.score).sum(-2).to(x)


def _given_each(source: GaussianMixture, density: Density, y: Tensor, shares: Shares) -> tuple[Tensor, Posterior]:
    """P(j | x), shape [..., J], and what is known given each j."""
    weights, n, d = _components(source, y)
    a, b, *_, latent, _ = shares.columns(2, y)
    noisy = y[..., None, :] - a * n  # [..., J, 2]
    given = posterior(density, noisy, b[..., 0].expand(noisy.shape[:-1]), _level(a, d, latent))
    return (weights.log() + given.log_density).softmax(-1), given


def _components(source: GaussianMixture, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Their weights [J], means n [J, 2] and standard deviations d [J]."""
    weights, n, d = (part.to(like) for part in (source.weights, source.means, source.covariances[:, 0, 0].sqrt()))
    return weights, n, d


def _level(a: Tensor, d: Tensor, latent: Tensor) -> Tensor:
    """l, the standard deviation of the noise in x_t given each j, [..., J]."""
    return ((a[..., 0] * d) ** 2 + latent[..., 0]).sqrt()


def round_left(source: GaussianMixture, density: Density, ratio: float) -> float:
    """1/2 E|x_0 - E[x_0 | x_1 + ratio x_0]|^2, x_1 from a smooth density, or any if the source is one Gaussian."""
    if len(source.weights) == 1:
        width = float(source.covariances[0, 0, 0].sqrt())
        return width**2 * excess(density, width * ratio)
    known, narrowest = law(density), float(source.covariances[:, 0, 0].min().sqrt())
    if ratio * narrowest > _DROWNED * math.sqrt(known.variance):
        return 0.5 * known.variance / ratio**2  # x_1 + ratio x_0 tells nothing of x_1
    least = known.base.level / narrowest
    if ratio >= least:
        return _left(source, density, ratio)
    left, error = continued(ratio, least, partial(_left, source, density), _left(source, density, 0.0))
    if not error < _UNSURE * abs(left):
        raise ValueError(
            f"density is {short(density)}, which has details too fine for its grid, and source has more than one "
            "component: what is known of x_0 near the end of the path changes too fast there. Noise the density, "
            "p.noised(0.1)."
        )
    return left


@lru_cache(maxsize=4096)
def _left(source: GaussianMixture, density: Density, ratio: float) -> float:
    """The same for several components; at ratio 0 all of a source is left by a law that has a density."""
    weights, n, d = source.weights / source.weights.sum(), source.means, source.covariances[:, 0, 0].sqrt()
    mean = weights @ n
    if ratio == 0:
        return float((weights * (d**2 + 0.5 * (n - mean).square().sum(-1))).sum())
    levels = (ratio * d).tolist()
    within = sum(
        w * s**2 * excess(density, level) for w, s, level in zip(weights.tolist(), d.tolist(), levels, strict=True)
    )

    def fields(edges: Places) -> Fields:
        """p of x_1 + r x_0, and the variance over j of E[x_1 | ., j] times it."""
        places = nodes(edges[0]), nodes(edges[1])
        parts = [
            sheet_below(density, level).smoothed((places[0] - ratio * shift[0], places[1] - ratio * shift[1]), level)
            for level, shift in zip(levels, n, strict=True)
        ]
        p = sum(w * part for w, (part, _) in zip(weights, parts, strict=True))
        m = sum(w * moment for w, (_, moment) in zip(weights, parts, strict=True))
        means = [over(moment, part, edges) for part, moment in parts]
        middle = over(m, p, edges)
        spread = sum(
            w * part * (mean - middle).square().sum(0) for w, mean, (part, _) in zip(weights, means, parts, strict=True)
        )
        return Fields(p, m, spread / ratio**2)

    least = min(levels)
    corners = [(low + ratio * n, high + ratio * n) for low, high in (bounds(density, level) for level in levels)]
    low = torch.cat([part for part, _ in corners]).amin(0)
    high = torch.cat([part for _, part in corners]).amax(0)
    sheet = resolve(
        fields, merged(sheet_below(density, least).edges, low, high, 1.5 * least), law(density).place, least
    )
    if sheet is None:
        raise ValueError(
            f"no grid resolves the law of x_1 + {ratio:.3g} x_0 for density {density!r} and source {source!r}. Noise "
            "the density first, p.noised(0.1)."
        )
    return float(within) + 0.5 * sheet.integral(sheet.fields.integrand)
