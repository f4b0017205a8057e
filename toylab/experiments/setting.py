"""What the recipes share: squares, scales, random streams, and how numbers are kept and shortened."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import stage_generator
from toylab.densities import GaussianMixture
from toylab.metrics import Extent
from toylab.training import Spread

Numbers = dict[str, Any]
"""Nested dictionaries of numbers, lists and strings, as JSON holds them."""

BOX: Extent = (-8.0, 8.0, -8.0, 8.0)
"""The square of ``two_modes``: chains start uniformly in it, and it is what is drawn."""

WIDE_BOX: Extent = (-9.0, 9.0, -9.0, 9.0)
"""The square of ``two_modes`` where the tails are of interest."""

RING_BOX: Extent = (-6.0, 6.0, -6.0, 6.0)
"""The square of ``ring``."""

SMALL_BOX: Extent = (-5.0, 5.0, -5.0, 5.0)
"""The square of the checkerboard, the circle and the densities of the catalogue."""

LARGEST_SEED = 10**12
"""Of an experiment: a thousand times that, and the number of a stage, is a seed of torch."""

TRUE_WEIGHT = 0.8
"""The weight of the upper mode of ``two_modes``."""

AXIS_STD = {"two modes": 4.0, "ring": 3.0, "checkerboard": 2.3, "fractal tree": 1.5}
"""Roughly the standard deviation along an axis of the densities that diffusion models are trained on."""


def generator(seed: int, stage: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random stream of one stage of an experiment, so that a change in one stage leaves the others as they are.

    On the CPU it gives the same numbers wherever the stage computes; on a GPU it gives others, many times faster.

    Raises:
        TypeError, ValueError: unless the seed is a whole number from 0 to 10^12.
    """
    return stage_generator(check_seed(seed), stage, device)


def check_seed(seed: int) -> int:
    """The seed of an experiment as an int, or raise unless it is a whole number from 0 to 10^12."""
    if (number := validate.count("seed", seed, least=0)) > LARGEST_SEED:
        raise ValueError(f"seed is {number}: give a whole number (int) from 0 to 10^12.")
    return number


def scaled_count(n: int, share: float, least: int = 1) -> int:
    """``share`` of n, rounded, at least ``least``: a count of steps or repeats, for a quick look."""
    return max(least, round(share * n))


def spread(values: Sequence[float] | Spread) -> Numbers:
    """Mean, standard deviation of one (0 for a single value) and the values, as ``Result.numbers`` holds them."""
    known = values if isinstance(values, Spread) else Spread(tuple(float(value) for value in values))
    std = known.std if len(known.values) > 1 else 0.0
    return {"mean": known.mean, "std": std, "values": list(known.values)}


def in_the_upper_mode(samples: Tensor, density: GaussianMixture) -> Tensor:
    """Those of the samples [n, 2] that most likely belong to the second component, in double precision."""
    return samples[density.posterior(samples).argmax(-1) == 1].double()


def variance_in_the_upper_mode(samples: Tensor, density: GaussianMixture) -> float:
    """Their variance along an axis."""
    return float(in_the_upper_mode(samples, density).var(0).mean())
