"""Four predictions that tell the same at a point of a noise path x_t = alpha x_1 + sigma z.

    score s_t(x),    noise E[z | x_t = x] = -sigma s,    clean point E[x_1 | x_t = x] = (x + sigma^2 s) / alpha,
    velocity alpha' E[x_1 | x_t] + sigma' E[z | x_t] = (alpha' x + sigma (alpha' sigma - sigma' alpha) s) / alpha.

Every function here has its inverse beside it, and any two predictions are converted by way of the score. They hold
where alpha and sigma are greater than 0, strictly between the ends of a path.
"""

from typing import NamedTuple

from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab.paths.path import NoisePath
from toylab.paths.times import time_like


class _Here(NamedTuple):
    """The schedules at the time of each point, as columns [..., 1]."""

    alpha: Tensor
    sigma: Tensor
    alpha_rate: Tensor
    change: Tensor  # alpha' sigma - sigma' alpha


def score_to_velocity(path: NoisePath, score: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
    """v = (alpha' x + sigma (alpha' sigma - sigma' alpha) s) / alpha, shape [..., 2].

    Args:
        path: a path from N(0, I): ``Linear()``, ``cosine()``, ``of_sde(VP())``, ``GaussianPath(alpha, sigma)``.
        score: s, the values of the score of x_t at the points, shape [..., 2].
        x: points x_t, shape [..., 2].
        t: the time, a number or one per point, where alpha > 0 and sigma > 0.

    Raises:
        ValueError: at the ends of the path, where alpha or sigma is 0, and for a path from another source.

    >>> import torch
    >>> from toylab.paths import Linear
    >>> score_to_velocity(Linear(), torch.tensor([-1.0, 0.0]), torch.tensor([2.0, 2.0]), 0.5)
    tensor([3., 4.])
    """
    here = _here(path, "score", score, x, t)
    return (here.alpha_rate * x + here.sigma * here.change * score) / here.alpha


def velocity_to_score(path: NoisePath, velocity: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
    """s = (alpha v - alpha' x) / (sigma (alpha' sigma - sigma' alpha)); as ``score_to_velocity``."""
    here = _here(path, "velocity", velocity, x, t)
    return (here.alpha * velocity - here.alpha_rate * x) / (here.sigma * here.change)


def score_to_noise(path: NoisePath, score: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
    """eps = -sigma s; arguments as for ``score_to_velocity``."""
    here = _here(path, "score", score, x, t)
    return -here.sigma * score


def noise_to_score(path: NoisePath, noise: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
    """s = -eps / sigma; arguments as for ``score_to_velocity``."""
    here = _here(path, "noise", noise, x, t)
    return -noise / here.sigma


def score_to_clean(path: NoisePath, score: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
    """(x + sigma^2 s) / alpha; arguments as for ``score_to_velocity``."""
    here = _here(path, "score", score, x, t)
    return (x + here.sigma**2 * score) / here.alpha


def clean_to_score(path: NoisePath, clean: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
    """(alpha E[x_1 | x] - x) / sigma^2; arguments as for ``score_to_velocity``."""
    here = _here(path, "clean", clean, x, t)
    return (here.alpha * clean - x) / here.sigma**2


def _here(path: NoisePath, name: str, values: Tensor, x: Tensor, t: Tensor | float) -> _Here:
    if isinstance(path, type) or not isinstance(path, NoisePath):
        raise TypeError(f"path is {short(path)}: give a path with Gaussian noise, such as Linear() or cosine().")
    if getattr(path, "source", None) is not None:
        raise ValueError(
            f"path is {short(path)}: from a source other than N(0, I) the velocity does not determine the score. "
            "Convert along Linear(), cosine(), of_sde(VP()) or a GaussianPath."
        )
    time = time_like(t, x)
    validate.vectors(name, values, x)
    alpha, sigma = path.alpha(time), path.sigma(time)
    inside = (alpha > 0) & (sigma > 0)
    if validate.readable(inside) and not bool(inside.all()):
        raise ValueError(
            f"t is {t}, where alpha or sigma is 0: at the ends of a path the predictions do not determine one another. "
            "Give times strictly between 0 and 1."
        )
    alpha_rate, sigma_rate = path.rates(time)
    columns = (alpha, sigma, alpha_rate, alpha_rate * sigma - sigma_rate * alpha)
    return _Here(*(column[..., None] for column in columns))
