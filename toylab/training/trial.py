"""Checks before the first step: whether network, objective and data fit together, tried on two points."""

import math
from typing import Any, TypeVar

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn

from toylab._internal import validate
from toylab._internal.uncalled import refuse_class
from toylab.densities.density import Density
from toylab.objectives.objective import NO_GENERATOR, HasOffset, Objective, takes_generator
from toylab.training.ensemble import Ensemble
from toylab.training.piecewise_linear import warn_piecewise_linear

AnyScore = TypeVar("AnyScore")


def check_pair(objective: Objective[AnyScore], network: nn.Module) -> None:
    """Raise ``TypeError`` unless the objective can be called and the network is a torch module with parameters."""
    refuse_class("objective", objective)
    refuse_class("network", network)
    validate.function("objective", objective, "objectives.Sliced()")
    if not takes_generator(objective):
        raise TypeError(f"objective {NO_GENERATOR}")
    if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
        raise TypeError("network has nothing to train: give a torch module with parameters, such as ScoreMLP().")


def check_trainable(network: nn.Module) -> None:
    """Raise ``TypeError`` if the gradients of all parameters are off, as in a network that ``fit`` returned."""
    if not any(p.requires_grad for p in network.parameters()):
        raise TypeError(
            "network has nothing to train: its gradients are off, as in one that fit returned. "
            "Turn them on with network.requires_grad_()."
        )


def check_counts(**counts: int) -> None:
    """Raise unless each is a whole number of at least 1."""
    for name, value in counts.items():
        validate.count(name, value)


def offset_or_nan(objective: Objective[AnyScore], data: Density | Tensor) -> float:
    """The constant between mean loss and Fisher divergence, or nan where it is not known.

    Raises:
        ValueError: if the objective learns the score of the clean data, and these have none.
    """
    if not (isinstance(data, Density) and isinstance(objective, HasOffset)):
        return math.nan
    try:
        return objective.offset(data)
    except validate.NoDensity:
        raise ValueError(
            f"{data!r} lies on points or on a curve and has no score, but {objective!r} learns that of the clean data: "
            "its loss would fall without bound. Add noise to the data (p.noised(0.1)), or use Denoising(sigma)."
        ) from None
    except (TypeError, ValueError):  # the density has no quadrature, or no score of its own: train anyway
        return math.nan


def try_once(network: nn.Module, objective: Objective[Any], x: Tensor) -> None:
    """One evaluation of the loss at two points x [2, 2], with draws of its own.

    Raises:
        TypeError, ValueError: for a wrong pairing of objective and network, or wrong shapes.

    Warns:
        RuntimeWarning: if a piecewise linear network (ReLU) is differentiated.
    """
    differentiated = False

    def score(x: Tensor, *sigma: Tensor | float) -> Tensor:
        nonlocal differentiated
        differentiated = differentiated or x.requires_grad or forward_ad.unpack_dual(x).tangent is not None
        other = (
            "give a NoiseConditionalMLP(), or an objective at one noise level"
            if sigma
            else "give a ScoreMLP(), or an objective over noise levels, such as NoiseConditional(sigmas)"
        )
        s = validate.score("network", network, of_sigma=bool(sigma), remedy=other)(x, *sigma)
        if not isinstance(s, Tensor) or s.shape != x.shape:
            raise ValueError(
                f"the network gives {_what(s)} for points {list(x.shape)}: a score has the shape of its points. "
                "Give the last layer 2 outputs."
            )
        return s

    losses = objective(score, x, generator=torch.Generator(x.device).manual_seed(0))
    if not isinstance(losses, Tensor) or losses.shape != x.shape[:1]:
        raise ValueError(
            f"the objective gives {_what(losses)} for 2 points: it must give one loss per point, [2]. "
            "Leave out the mean, and check that the network maps [n, 2] to [n, 2]."
        )
    warn_piecewise_linear(network, differentiated)


def try_side_by_side(networks: Ensemble, objective: Objective[Any], x: Tensor) -> None:
    """One evaluation of the loss at two points per network, x [n, 2, 2].

    Raises:
        ValueError: if the objective does not keep the dimensions of the batch.
    """
    losses = objective(networks, x, generator=torch.Generator(x.device).manual_seed(0))
    if losses.shape != x.shape[:-1]:
        raise ValueError(
            f"the objective gives {list(losses.shape)} for points {list(x.shape)}: with n_seeds it must keep the batch "
            f"dimensions and give {list(x.shape[:-1])}. Leave n_seeds 1 for an objective of [n, 2] points alone."
        )


def _what(value: object) -> str:
    """The shape of a tensor, or what else it is."""
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__
