"""The scale of the data against that of the network."""

import math
from typing import Any

from torch import Tensor, nn

from toylab._internal.warn import warn
from toylab.networks import REFERENCE_STD, EnergyMLP, NoiseConditionalMLP, ScoreMLP, scale_of
from toylab.objectives.denoising import Denoising, NoisePrediction
from toylab.objectives.objective import Objective

_FACTOR = 6.0  # two modes of J / (1/2 I) = .001 have .01 where 8 times too large, .002 at 4 and .1 at 10 too small
_AWAY = 4.0  # in units of data_std: .01 where they are 3.5 away, .25 where they are 7
_LEAST = 32  # points that are needed to tell a scale


def loss_scale(network: nn.Module) -> float:
    """The square of the network's unit of length, by which a loss that is a squared score is to be multiplied.

    Adam's e is meant for losses of order one; multiplied by this they are the same for data of any scale.
    """
    if not isinstance(network, ScoreMLP | EnergyMLP):
        return 1.0
    return (network.data_std / REFERENCE_STD) ** 2


def warn_scale(network: nn.Module, objective: Objective[Any], x: Tensor) -> None:
    """Warn if the points x [n, 2] have another place or scale than those that the network is made for.

    A network that is not of ``toylab.networks`` is taken to be made for the scale that is their default, unless it has
    an attribute ``data_std``: then it sees to that itself.
    """
    ours = isinstance(network, ScoreMLP | EnergyMLP | NoiseConditionalMLP)
    if len(x) < _LEAST or (hasattr(network, "data_std") and not ours):
        return
    try:
        mean, std = scale_of(x)
    except ValueError:  # all at one place
        return
    if isinstance(objective, Denoising | NoisePrediction):  # whose network sees the points noised
        std = math.hypot(std, objective.sigma)
    own_mean, own_std = (0.0, 0.0), REFERENCE_STD
    if isinstance(network, ScoreMLP | EnergyMLP | NoiseConditionalMLP):
        own_mean, own_std = network.data_mean, network.data_std
    if own_std / _FACTOR <= std <= _FACTOR * own_std and math.dist(mean, own_mean) <= _AWAY * own_std:
        return
    place, rate = f"({mean[0]:.3g}, {mean[1]:.3g})", REFERENCE_STD / std
    unit = f", sigma_unit={1 / rate:.3g}" if isinstance(network, NoiseConditionalMLP) else ""
    remedy = (
        f"Pass data_mean={place}, data_std={std:.3g}{unit} when you make it, or take network.for_data(data)"
        if ours
        else f"Let it be {rate:.3g} * F({rate:.3g} * (x - mean)) with mean = {place} and F what it is now; an "
        "attribute data_std says that this is done"
    )
    warn(
        f"the data have a standard deviation of {std:.3g} about {place}, and the network is made for {own_std:.3g} "
        f"about ({own_mean[0]:.3g}, {own_mean[1]:.3g}): it learns far worse than it could. {remedy}. Noise "
        "levels and step sizes belong to the scale of the data, too."
    )
