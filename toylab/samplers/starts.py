"""Clouds to start chains from. A start in the truth is ``p.sample((n,), generator=g)``."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import constant
from toylab._internal.random import normal, uniform
from toylab.densities import GaussianMixture


def uniform_start(
    n: int,
    extent: tuple[float, float, float, float],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """n points uniform on a rectangle (left, right, bottom, top), shape [n, 2]."""
    n = validate.count("n", n)
    left, right, bottom, top = validate.extent("extent", extent)
    dtype, device = dtype or torch.get_default_dtype(), validate.device(device)
    u = uniform((n, 2), dtype=dtype, device=device, generator=generator)
    return constant((left, bottom), u) + u * constant((right - left, top - bottom), u)


def gaussian_start(
    n: int,
    std: float,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """n points from N(0, std^2 I), shape [n, 2]: what annealed and diffusion samplers start from."""
    n = validate.count("n", n)
    dtype, device = dtype or torch.get_default_dtype(), validate.device(device)
    return validate.positive("std", std) * normal((n, 2), dtype=dtype, device=device, generator=generator)


def mode_start(n: int, density: GaussianMixture, k: int) -> Tensor:
    """n points all at the mean of component k of a mixture, shape [n, 2]: who gets out, and when?"""
    n = validate.count("n", n)
    if not isinstance(density, GaussianMixture):
        raise TypeError(f"density is a {type(density).__name__}: give a GaussianMixture, whose modes are its means.")
    if validate.count("k", k, least=0) >= len(density.weights):
        raise ValueError(f"k is {k}: the mixture has components 0 to {len(density.weights) - 1}.")
    return density.means[k].to(density.dtype).expand(n, 2).clone()
