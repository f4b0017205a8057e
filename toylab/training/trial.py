"""Checks before the first step: whether network, objective and data fit together, tried on two points."""

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn

from toylab._internal import devices, validate
from toylab._internal.display import short
from toylab._internal.torch_private import MemoryTaken
from toylab._internal.uncalled import refuse_class
from toylab._internal.warn import warn
from toylab.densities.density import Density
from toylab.objectives.objective import NO_GENERATOR, HasOffset, Objective, takes_generator
from toylab.objectives.sliced import Sliced
from toylab.training.ensemble import Ensemble
from toylab.training.piecewise_linear import warn_piecewise_linear

AnyScore = TypeVar("AnyScore")

_MUCH = 1 << 20  # bytes for two points


def check_pair(objective: Objective[AnyScore], network: nn.Module) -> None:
    """Raise ``TypeError`` unless the objective can be called and the network is a torch module with parameters."""
    refuse_class("objective", objective)
    refuse_class("network", network)
    validate.function("objective", objective, "objectives.Sliced()")
    if not takes_generator(objective):
        raise TypeError(f"objective {NO_GENERATOR}")
    if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
        around = " A function around a network hides its weights: make it the forward of a module."
        raise TypeError(
            f"network has nothing to train: it is a {type(network).__name__} without parameters. Give a torch module "
            f"with some, such as ScoreMLP().{'' if isinstance(network, nn.Module) else around}"
        )
    if any(isinstance(part, torch.jit.ScriptModule) for part in network.modules()):
        raise TypeError(
            "network is scripted or traced (torch.jit), and torch cannot copy such a module for training. Give the "
            "module that it was made from, and script what fit returns."
        )
    if any(isinstance(p, nn.UninitializedParameter) for p in network.parameters()):
        raise TypeError("network has lazy layers without weights yet: call it once, as in network(torch.zeros(2, 2)).")
    if not all(devices.has_values(p.device) for p in network.parameters()):
        raise ValueError(
            "network is on the device meta, where weights hold no numbers: make it on another, or give it weights by "
            "network.to_empty(device='cpu') and load_state_dict."
        )


def check_call(name: str, f: object, example: str) -> None:
    """Raise ``TypeError`` unless ``f`` is a function that can be called with one argument."""
    if not _takes(validate.function(name, f, example), None):
        raise TypeError(f"{name} is called with one argument, which it does not take: give {example}.")


def _takes(f: Callable[..., Any], *arguments: None) -> bool:
    """Whether ``f`` can be called so, as far as its signature says."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # of a function written in C: it is found out at the first call
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def check_trainable(network: nn.Module) -> None:
    """Raise ``TypeError`` if the gradients of all parameters are off, as in a network that ``fit`` returned."""
    if not any(p.requires_grad for p in network.parameters()):
        raise TypeError(
            "network has nothing to train: its gradients are off, as in one that fit returned. "
            "Turn them on with network.requires_grad_()."
        )


def check_counts(**counts: int) -> list[int]:
    """They, or raise unless each is a whole number of at least 1."""
    return [validate.count(name, value) for name, value in counts.items()]


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
            f"{short(data)} lies on points or on a curve and has no score, but {short(objective)} learns that of the "
            "clean data: its loss would fall without bound. Add noise to the data (p.noised(0.1)), or use "
            "Denoising(sigma)."
        ) from None
    except (TypeError, ValueError):  # the density has no quadrature, or no score of its own: train anyway
        return math.nan


def check_losses(losses: object, x: Tensor) -> Tensor:
    """Return what the objective gave at the points x [..., n, 2], or raise unless it is one loss per point."""
    if not isinstance(losses, Tensor) or losses.shape != x.shape[:-1]:
        raise ValueError(
            f"the objective gives {_what(losses)} for points {list(x.shape)}: it must give one loss per point, "
            f"{list(x.shape[:-1])}. Leave out the mean, and check that the network maps [n, 2] to [n, 2]."
        )
    if not losses.is_floating_point() or losses.device != x.device:
        raise TypeError(f"the objective gives {losses.dtype} on {losses.device} for points of {x.dtype} on {x.device}.")
    return losses


def measured(measure: Callable[[Any], float], network: nn.Module, name: str = "held_out") -> float:
    """``measure(network)`` as a number, or an error that says what it is instead."""
    value = measure(network)
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} gives {_what(value)}: it must give one number per network.") from None


def share_of(rate: Callable[[float], float], t: float) -> float:
    """``rate(t)``, or an error unless it is a finite number of at least 0."""
    share = validate.finite(f"rate({t:g})", rate(t))
    if share < 0:
        raise ValueError(f"rate({t:g}) is {share:g}: a share of the learning rate is at least 0.")
    return share


def try_once(network: nn.Module, objective: Objective[Any], batch: Tensor) -> tuple[Tensor, tuple[int, float]]:
    """The losses [2] at the first two points of a batch [n, 2], with draws of their own, by a copy of the network.

    With them comes the memory that they took, in bytes: whatever the number of points, and for each of them.

    Raises:
        TypeError, ValueError: for a wrong pairing of objective and network, wrong shapes, or numbers that are nan or
            inf from the start.

    Warns:
        RuntimeWarning: if a piecewise linear network (ReLU) is differentiated, or one with BatchNorm.
    """
    if not bool(batch.isfinite().all()):
        raise ValueError("data.sample gives points that are nan or inf: a density must give finite ones.")
    x, tried = batch[:2].clone(), _Tried(copy.deepcopy(network))  # its running means are to see whole batches alone

    def losses_of(x: Tensor) -> Tensor:
        return check_losses(objective(tried, x, generator=torch.Generator(x.device).manual_seed(0)), x)

    with MemoryTaken(tried.network.parameters()) as taken:
        losses = losses_of(x)
    of_network, per_point = taken.of_weights, taken.of_points / len(x)
    if taken.of_points > _MUCH:  # of work that all points share, such as a quadrature
        with MemoryTaken(tried.network.parameters()) as twice:
            losses_of(x.repeat(2, 1))
        per_point = (twice.of_points - taken.of_points) / len(x)
        of_network += taken.of_points - round(len(x) * per_point)
    if not losses.requires_grad:
        raise ValueError(
            "the loss does not depend on the weights of the network, so that nothing can be learned: look for "
            "detach(), .data or torch.no_grad() in the network and in the objective."
        )
    if not bool(losses.isfinite().all()):
        raise ValueError(
            f"the loss is {short(losses.tolist())} at two points before the first step: look at the weights of the "
            "network and at the objective for nan or inf."
        )
    warn_piecewise_linear(network, tried.differentiated)
    warn_tied_points(network, objective, tried.differentiated)
    return losses.detach(), (of_network, per_point)


class _Tried:
    """A network as the objective sees it in its trial: each call is checked, and derivatives are noticed."""

    def __init__(self, network: nn.Module) -> None:
        self.network = self.__wrapped__ = network  # which it stands for
        self.differentiated = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """What a network has besides, such as an energy; derivatives of its own would be taken unnoticed."""
        if name in ("network", "with_tangents", "__wrapped__"):
            raise AttributeError(name)
        return getattr(self.network, name)

    def __call__(self, x: Tensor, *sigma: Tensor | float) -> Tensor:
        self.differentiated |= x.requires_grad or forward_ad.unpack_dual(x).tangent is not None
        other = (
            "give a NoiseConditionalMLP() (for flow matching a VelocityMLP()), or an objective at one noise level"
            if sigma
            else "give a ScoreMLP(), or an objective over noise levels, such as NoiseConditional(sigmas)"
        )
        if not _takes(self.network, *(None for _ in (x, *sigma))):
            call = "network(x, sigma)" if sigma else "network(x)"
            raise TypeError(f"network is a {type(self.network).__name__}, which cannot be called as {call}: {other}.")
        try:
            s = self.network(x, *sigma)
        except Exception as error:
            raise ValueError(
                f"the network fails at points {list(x.shape)}"
                f"{', differentiated by the objective' * self.differentiated}: "
                f"{error} ({type(error).__name__}). A score maps points [..., 2] of {x.dtype}, whatever stands in "
                "front, to vectors of the same shape: layers such as BatchNorm1d need x.reshape(-1, 2), and the result "
                ".view(x.shape), in a forward of your own."
            ) from error
        if not isinstance(s, Tensor) or s.shape != x.shape:
            raise ValueError(
                f"the network gives {_what(s)} for points {list(x.shape)}: a score has the shape of its points. "
                "Give the last layer 2 outputs."
            )
        return s


def warn_tied_points(network: nn.Module, objective: Objective[Any], differentiated: bool) -> None:
    """Warn if a network with BatchNorm is differentiated along directions that its points share."""
    tied = any(isinstance(part, nn.BatchNorm1d | nn.SyncBatchNorm) for part in network.modules())
    if tied and differentiated and not isinstance(objective, Sliced):  # whose directions are independent
        warn(
            "the network has BatchNorm, which ties the points of a batch to one another in training, and is "
            "differentiated by this objective as if each stood alone: its divergence is wrong, and so is what it "
            "learns. Use LayerNorm or GroupNorm, or Sliced(), whose directions are independent."
        )


def try_side_by_side(networks: Ensemble, objective: Objective[Any], x: Tensor) -> None:
    """One evaluation of the loss at two points per network, x [n, 2, 2].

    Raises:
        ValueError: if the objective does not keep the dimensions of the batch.
    """
    try:
        losses = objective(copy.deepcopy(networks), x, generator=torch.Generator(x.device).manual_seed(0))
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"the networks cannot be trained side by side, by torch.func.vmap: {error} Call fit once per seed, or "
            "write the network without in-place changes and choices by value."
        ) from error
    if losses.shape != x.shape[:-1]:
        raise ValueError(
            f"the objective gives {list(losses.shape)} for points {list(x.shape)}: with n_seeds it must keep the batch "
            f"dimensions and give {list(x.shape[:-1])}. Leave n_seeds 1 for an objective of [n, 2] points alone."
        )


def _what(value: object) -> str:
    """The shape of a tensor, or what else it is."""
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__
