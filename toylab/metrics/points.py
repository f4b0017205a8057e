"""Metrics and plots take chains and arrays wherever they take points or a path: decided here for all of them."""

from typing import TypeAlias

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.arrays import HasArray, tensor_of
from toylab._internal.uncalled import refuse_class
from toylab.densities.density import Density
from toylab.samplers.chains import Chains

_FARTHEST = 1e100

# a tensor; the chains of a sampler; or an array of NumPy's, JAX's, pandas' or others, of floating-point numbers
PointsLike: TypeAlias = Tensor | Chains | HasArray


def points_of(x: PointsLike, name: str = "x") -> Tensor:
    """Where chains ended, ``Chains.samples``; a tensor is passed on as it is, an array becomes one.

    Raises:
        TypeError: if the numbers cannot be read.
    """
    return _readable(x.samples if isinstance(x, Chains) else tensor_of(name, x))


def path_of(x: PointsLike) -> Tensor:
    """The recorded frames of chains, ``Chains.path``; a tensor is passed on as it is, an array becomes one.

    Raises:
        ValueError: for chains that were not recorded.
    """
    if not isinstance(x, Chains):
        return _readable(tensor_of("path", x))
    if len(x.path) == 0:
        raise ValueError(
            "the chains hold no path: run the sampler with keep_every=1, or keep_every=n_steps for one frame per level."
        )
    return x.path


def finite_points(name: str, x: PointsLike) -> Tensor:
    """``points_of`` x, or raise unless they are a cloud [n, 2] without nan, inf or numbers whose squares overflow."""
    points = validate.cloud(name, points_of(x, name)).detach()
    finite = points.isfinite().all(-1)
    if not bool(finite.all()):
        raise ValueError(
            f"{name} holds {int((~finite).sum())} points that are nan or inf: leave out the chains in Chains.diverged, "
            "as in chains.samples[~chains.diverged]."
        )
    if float(points.abs().max()) > _FARTHEST:
        raise ValueError(
            f"{name} holds numbers up to {float(points.abs().max()):.2g}, whose squares overflow: give at most "
            f"{_FARTHEST:g}, such as those of chains that did not run off."
        )
    return points


def law(name: str, density: object) -> Density:
    """Return ``density``, or raise ``TypeError`` unless it is a ``Density``."""
    refuse_class(name, density)
    if not isinstance(density, Density):
        raise TypeError(f"{name} is a {type(density).__name__}: give a density, such as densities.two_modes().")
    return density


def level(sigma: float) -> float:
    """Return ``sigma`` as a float, or raise unless it is one noise level, finite and at least 0."""
    if isinstance(sigma, Tensor) and sigma.numel() != 1:
        raise ValueError(f"sigma has shape {list(sigma.shape)}: give one noise level, a number.")
    return float(
        noise(
            sigma.reshape(()) if isinstance(sigma, Tensor) else sigma, torch.zeros(2, dtype=torch.float64, device="cpu")
        )
    )


def noise(sigma: Tensor | float, x: Tensor) -> Tensor | float:
    """``validate.noise_level``, which refuses a number whose square overflows, too."""
    found = validate.noise_level(sigma, x)
    if not isinstance(found, Tensor) and found > _FARTHEST:
        raise ValueError(f"sigma is {sigma}: its square overflows. Give at most {_FARTHEST:g}.")
    return found


def _readable(x: Tensor) -> Tensor:
    """Return ``x``, or raise if it is a tensor whose numbers cannot be read: sparse, or on the meta device."""
    if isinstance(x, Tensor) and (x.layout is not torch.strided or x.is_meta):
        raise TypeError(f"points are a tensor of {x.layout} on the device {x.device}: give a dense tensor of numbers.")
    return x
