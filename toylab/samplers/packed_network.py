"""A ``ScoreMLP`` or ``NoiseConditionalMLP`` in the form in which _kernels/network.py carries chains along it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from toylab._internal import devices
from toylab._internal.mlp_jvp import in_autocast
from toylab._internal.torch_private import is_hooked
from toylab.networks import REFERENCE_STD, NoiseConditionalMLP, ScoreMLP

if TYPE_CHECKING:
    from toylab._kernels.network import Network

NARROWEST = 16  # units: the least side of a product in a kernel
WIDEST = 128  # units: products are unrolled, and twice as wide a layer takes a minute to compile


def pack(network: object, x: Tensor, sigmas: Sequence[float] | None = None) -> "Network | None":
    """The network for chains that start at x [n, 2]; None if the kernel does not do what it does.

    The kernel knows the two classes of networks.py themselves, not under autocast, with softplus, silu or torch.tanh,
    float32 weights where x is, at most ``WIDEST`` units, and without hooks or parametrizations.

    Args:
        network: anything that is called like a score.
        x: where the chains start.
        sigmas: the noise levels, of a ``NoiseConditionalMLP``; None for a ``ScoreMLP``.
    """
    if not isinstance(network, ScoreMLP if sigmas is None else NoiseConditionalMLP) or not _as_made(network):
        return None
    layers = _linear(network)
    parameters = [p.detach() for layer in layers for p in (layer.weight, layer.bias)]
    activation = _name(network.activation)
    if activation is None or in_autocast(x) or network.width > WIDEST:
        return None
    if any(p.dtype != torch.float32 or p.device != x.device for p in (x, *parameters)):
        return None
    from toylab._kernels.network import Network

    (first, first_bias), *hidden, (last, last_bias) = zip(parameters[::2], parameters[1::2], strict=True)
    width = network.width
    wide = max(NARROWEST, 1 << (width - 1).bit_length())
    ends, middle, bias = (x.new_zeros(size) for size in ((6, wide), (len(hidden), wide, wide), (len(hidden), wide)))
    ends[: first.shape[1], :width] = first.mT
    ends[3, :width] = first_bias
    ends[4:, :width] = last
    for i, (weight, b) in enumerate(hidden):
        middle[i, :width, :width] = weight.mT
        bias[i, :width] = b
    rows = _rows(network, sigmas).to(x)
    return Network(ends, middle, bias, last_bias.clone(), rows, network.data_mean, activation, precision())


def precision() -> str:
    """Of products in float32: "tf32" where torch has been allowed it, else "ieee"."""
    return "tf32" if devices.tf32_is_allowed() else "ieee"


def _as_made(network: ScoreMLP | NoiseConditionalMLP) -> bool:
    """Whether the network is called and built as its class is: no subclass, no hooks, its own layers, one of each."""
    layers = _linear(network)
    sizes = [2 if isinstance(network, ScoreMLP) else 3, *[network.width] * network.depth, 2]
    return (
        type(network) in (ScoreMLP, NoiseConditionalMLP)
        and not any(is_hooked(module) for module in network.modules())
        and all(type(layer) is nn.Linear and layer.bias is not None for layer in layers)  # parametrized: another class
        and [tuple(layer.weight.shape) for layer in layers] == [(b, a) for a, b in zip(sizes, sizes[1:], strict=False)]
    )


def _linear(network: ScoreMLP | NoiseConditionalMLP) -> list[Any]:
    return list(network.layers)


def _name(activation: object) -> str | None:
    known: dict[str, object] = {"softplus": functional.softplus, "silu": functional.silu, "tanh": torch.tanh}
    return next((name for name, function in known.items() if activation is function), None)


def _rows(network: ScoreMLP | NoiseConditionalMLP, sigmas: Sequence[float] | None) -> Tensor:
    """Inner, feature, outer and pull at each noise level [L, 4], float64.

    With y = x - data_mean and F the layers, s(x) = outer F(inner y, feature) - pull y. A ``ScoreMLP`` is c F(c y), and
    has no feature: its weights are 0.
    """
    if isinstance(network, ScoreMLP):
        rate = REFERENCE_STD / network.data_std
        return torch.tensor([[rate, 0.0, rate, 0.0]], dtype=torch.float64, device="cpu")
    sigma, std = torch.tensor(sigmas, dtype=torch.float64, device="cpu"), network.data_std
    t = (sigma**2 + std**2).sqrt()
    return torch.stack([network.gain / t, (sigma / network.sigma_unit).log() / 2, std / (sigma * t), t**-2], -1)
