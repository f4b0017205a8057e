"""A mistake found before the first step: an objective that differentiates a piecewise linear network."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from toylab._internal.warn import warn
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP

_PIECEWISE_LINEAR = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Threshold)


def is_piecewise_linear(network: nn.Module) -> bool:
    """Whether the network is piecewise linear: by its modules, or by the second derivative of its ``activation``."""
    if any(isinstance(module, _PIECEWISE_LINEAR) for module in network.modules()):
        return True
    activation = getattr(network, "activation", None)
    return callable(activation) and not bool(_second_derivative(activation).any())


def warn_piecewise_linear(network: nn.Module, differentiated: bool) -> None:
    """Warn if a piecewise linear network is differentiated by its objective, or is itself a gradient."""
    if not (differentiated or isinstance(network, EnergyMLP | NoiseConditionalEnergyMLP)) or not is_piecewise_linear(
        network
    ):
        return
    what = (
        "is the gradient of one"
        if isinstance(network, EnergyMLP | NoiseConditionalEnergyMLP)
        else "is differentiated by this objective"
    )
    warn(
        f"the network is piecewise linear (ReLU or the like) and {what}: the gradient of such a loss does not see the "
        "kinks move, and almost nothing is learned. Use a smooth activation: softplus, silu, tanh."
    )


def _second_derivative(activation: Callable[[Tensor], Tensor]) -> Tensor:
    x = torch.linspace(-4.05, 4.05, 82, dtype=torch.float64, requires_grad=True, device="cpu")
    (slope,) = torch.autograd.grad(activation(x).sum(), x, create_graph=True)  # torch.func takes a second to load
    return torch.autograd.grad(slope.sum(), x)[0] if slope.requires_grad else torch.zeros_like(x)
