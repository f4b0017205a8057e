"""Named mixtures of Gaussians."""

import math
from collections.abc import Sized
from functools import cache

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab.densities.gaussian_mixture import GaussianMixture
from toylab.densities.parameters import Matrix, Vector

_PIECES = 48  # Gaussians per arm of a pinwheel


def isotropic(means: Matrix, std: float, weights: Vector | None = None) -> GaussianMixture:
    """Gaussians of one standard deviation around ``means`` [K, 2]; equal weights unless given."""
    std = validate.positive("std", std)
    if not isinstance(means, Sized) or (isinstance(means, Tensor) and means.ndim == 0):
        raise TypeError(f"means is a {type(means).__name__}: give points [K, 2], one per component.")
    K = validate.count("the number of means", len(means))
    return GaussianMixture([1 / K] * K if weights is None else weights, means, [[std**2, 0.0], [0.0, std**2]])


def two_modes() -> GaussianMixture:
    """The reference target 0.2 N((-5, -5), I) + 0.8 N((5, 5), I) (Song & Ermon 2019, arXiv:1907.05600, section 3.2)."""
    return isotropic([[-5.0, -5.0], [5.0, 5.0]], std=1.0, weights=[0.2, 0.8])


def ring(n_modes: int = 8, radius: float = 4.0, std: float = 0.3) -> GaussianMixture:
    """``n_modes`` equal Gaussians evenly around a circle, the first at angle 0."""
    n_modes = validate.count("n_modes", n_modes)
    angles = torch.arange(n_modes, dtype=torch.float64, device="cpu") * (2 * math.pi / n_modes)
    means = validate.positive("radius", radius) * torch.stack([angles.cos(), angles.sin()], -1)
    return isotropic(means.tolist(), std)


def grid(n_side: int = 5, spacing: float = 2.0, std: float = 0.2) -> GaussianMixture:
    """``n_side`` x ``n_side`` equal Gaussians on a square lattice centred at the origin."""
    n_side = validate.count("n_side", n_side)
    ticks = (torch.arange(n_side, dtype=torch.float64, device="cpu") - (n_side - 1) / 2) * validate.positive(
        "spacing", spacing
    )
    return isotropic(torch.cartesian_prod(ticks, ticks).tolist(), std)


def spiral_of_gaussians(
    n_modes: int = 16, turns: float = 1.5, inner: float = 0.8, outer: float = 4.0, std: float = 0.2
) -> GaussianMixture:
    """``n_modes`` equal Gaussians along an Archimedean spiral of radius ``inner`` to ``outer``, at equal angles."""
    n_modes = validate.count("n_modes", n_modes, least=2)
    outer = validate.positive("outer", outer)
    turn = torch.linspace(0, validate.positive("turns", turns), n_modes, dtype=torch.float64, device="cpu")
    radius = validate.positive("inner", inner) + (outer - inner) * turn / turns
    angle = 2 * math.pi * turn
    return isotropic((radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1)).tolist(), std)


def pinwheel(
    n_arms: int = 5, radial_std: float = 0.3, tangential_std: float = 0.1, rate: float = 0.25, scale: float = 2.0
) -> GaussianMixture:
    """Arms that wind up, 48 Gaussians each: a fine approximation of the usual pinwheel.

    The usual one is x = scale * Rot(2 pi k / n_arms + rate * e^rho) (rho, tau), with rho ~ N(1, radial_std^2) along an
    arm, tau ~ N(0, tangential_std^2) across it, and k uniform on 0..n_arms - 1. Its map folds, so that its density has
    no closed form. Here rho is a mixture of 48 narrow normal laws of equal spacing, and each of them becomes the
    Gaussian with the mean and the covariance of its image in the plane.

    At the default parameters the distribution function of a coordinate differs from the usual one's by at most 9e-5,
    and the laws noised by 0.1 have a total variation distance of 0.0012. For wide arms that wind fast (three, with
    radial_std = tangential_std = 0.2 and rate = 0.4) these are 8e-4 and 0.005.

    Source: the pinwheel of Johnson et al. 2016, Composing graphical models with neural networks (arXiv:1603.06277).

    Args:
        n_arms: number of arms.
        radial_std: standard deviation of rho.
        tangential_std: standard deviation of tau.
        rate: winding.
        scale: distance of the middle of an arm from the origin.
    """
    n_arms = validate.count("n_arms", n_arms)
    radial_std = validate.positive("radial_std", radial_std)
    tangential_std = validate.positive("tangential_std", tangential_std)
    rate, scale = validate.positive("rate", rate), validate.positive("scale", scale)
    # normal laws of standard deviation h, h apart, weighted like N(1, radial_std^2 - h^2), add up to N(1, radial_std^2)
    h = 9 * radial_std / _PIECES
    middles = 1 + h * (np.arange(_PIECES) - (_PIECES - 1) / 2)
    weights = np.exp(-0.5 * (middles - 1) ** 2 / (radial_std**2 - h**2))
    nodes, w = np.polynomial.hermite_e.hermegauss(16)
    w = w / w.sum()
    rho = middles[:, None] + h * nodes
    angle = 2 * math.pi / n_arms * np.arange(n_arms)[:, None, None] + rate * np.exp(rho)  # [n_arms, pieces, nodes]
    outwards = scale * np.stack([np.cos(angle), np.sin(angle)], -1)
    across = tangential_std * np.stack([-outwards[..., 1], outwards[..., 0]], -1)
    places = rho[..., None] * outwards
    means = np.einsum("j,kmji->kmi", w, places)
    offsets = places - means[:, :, None]
    covariances = sum(np.einsum("j,kmja,kmjb->kmab", w, part, part) for part in (offsets, across))
    return GaussianMixture(
        np.tile(weights / weights.sum() / n_arms, n_arms).tolist(),
        means.reshape(-1, 2).tolist(),
        np.asarray(covariances).reshape(-1, 2, 2).tolist(),
    )


def fractal_tree(label: int = 0) -> GaussianMixture:
    """One of the two classes of a recursive tree of Gaussians, 1,016 components each.

    A branch at depth d = 0..6 has length 0.292 * 0.8^d * (1 + n/5) and forks into two, turned by
    +-0.7^d * (1 + n/5) radians; every n is standard normal. It is made of 8 Gaussians of total weight in proportion to
    length * 0.5^d, of standard deviation length/16 along it, and 0.2 * 0.8^d / length times that across. Class 0 grows
    from the origin at 45 degrees, class 1 at 225. The two together are moved and scaled, each axis by itself, so that
    they have mean 0 and standard deviation 0.5 along both. Both at once:
    ``Mixture([0.5, 0.5], [fractal_tree(0), fractal_tree(1)])``.

    Source: the toy example of Karras et al. 2024, Guiding a diffusion model with a bad version of itself
    (arXiv:2406.02507), appendix C, by its published constants.

    Args:
        label: 0 or 1.
    """
    if (k := validate.whole(label)) not in (0, 1):
        raise ValueError(f"label is {short(label)}: the tree has the two classes 0 and 1.")
    weights, means, covariances = _fractal_trees()
    half = slice(k * len(weights) // 2, (k + 1) * len(weights) // 2)
    return GaussianMixture(
        (weights[half] / weights[half].sum()).tolist(), means[half].tolist(), covariances[half].tolist()
    )


@cache
def _fractal_trees() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and covariances of both classes, one after the other."""
    normal_numbers = np.random.RandomState(2)  # the stream of the source; frozen for good by NumPy
    weights, means, covariances = [], [], []

    def grow(depth: int, base: np.ndarray, angle: float) -> None:
        along = np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-along[1], along[0]])
        length = 0.292 * 0.8**depth * (1 + 0.2 * normal_numbers.randn())
        shape = np.outer(along, along) + (0.2 * 0.8**depth / length) ** 2 * np.outer(across, across)
        for place in (np.arange(8) + 0.5) / 8:
            weights.append(length * 0.5**depth)
            means.append(base + place * length * along)
            covariances.append((length / 16) ** 2 * shape)
        for side in (1, -1):
            if depth < 6:
                turn = side * 0.7**depth * (1 + 0.2 * normal_numbers.randn())
                grow(depth + 1, base + length * along, angle + turn)
            else:
                normal_numbers.randn()  # the source draws the angle of a child before it sees that there is none

    for angle in (0.25 * math.pi, 1.25 * math.pi):
        grow(0, np.zeros(2), angle)
    w = np.array(weights) / sum(weights)
    m, C = np.array(means), np.array(covariances)
    m = m - w @ m
    std = np.sqrt(w @ (m**2 + np.diagonal(C, axis1=1, axis2=2)))
    scale = 0.5 / std
    return w, m * scale, C * np.outer(scale, scale)
