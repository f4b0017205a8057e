"""Small networks called like a score: ``ScoreMLP`` and ``EnergyMLP`` as s(x), ``NoiseConditionalMLP`` as s(x, sigma).

A plain network is a free vector field: nothing makes it the gradient of a log-density. The three are in one file since
they share all but a few lines: layers, initial weights, and the sums in ``_affine``.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from toylab._internal import validate
from toylab._internal.mlp_jvp import softplus_with_tangents
from toylab._internal.random import uniform
from toylab._internal.torch_private import in_forward_mode
from toylab.densities.energy import FromEnergy, from_energy
from toylab.score import gradient

Activation = Callable[[Tensor], Tensor]


class _MLP(nn.Module):
    """What the networks share: ``layers``, linear ones, with ``activation`` after each but the last.

    All that they compute broadcasts, so that weights stacked along a first axis [n, ..] map points [..., n, m, 2],
    each its own share: ``training.ensemble`` relies on it.
    """

    layers: nn.ModuleList
    activation: Activation

    def redrawn(self, generator: torch.Generator | None = None) -> Self:
        """A copy of this network with freshly drawn weights, as at its construction."""
        network = copy.deepcopy(self)
        _draw(network.layers, generator)
        return network


class ScoreMLP(_MLP):
    """A fully connected score network s(x) on the plane, s = W_L a(... a(W_1 x + b_1) ...) + b_L.

    The defaults are the reference network 2-128-128-2 with softplus (Song & Ermon 2019, toy experiments). The
    implicit and sliced losses differentiate the network, so the activation must be smooth: ReLU learns nothing there.

    Args:
        width: units per hidden layer.
        depth: number of hidden layers.
        activation: applied after each hidden layer.
        generator: draws the initial weights (torch's own rule, uniform on +-1/sqrt(inputs)); None is torch's stream.

    >>> ScoreMLP()(torch.zeros(7, 2)).shape
    torch.Size([7, 2])
    """

    def __init__(
        self,
        width: int = 128,
        depth: int = 2,
        activation: Activation = functional.softplus,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width, self.depth, self.activation = width, depth, activation
        self.layers = _layers(2, width, depth, generator)

    def __call__(self, x: Tensor) -> Tensor:
        """``forward``, with torch's hooks."""
        return cast(Tensor, super().__call__(x))

    def forward(self, x: Tensor) -> Tensor:
        """The field at the points x [..., 2]; same shape."""
        return _through(self.layers, self.activation, x)

    def with_tangents(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor] | None:
        """s(x) [..., 2] and (grad s)(x) v [k, ..., 2]; None unless the activation is softplus.

        ``score.value_and_jvp`` prefers it to forward mode.

        Args:
            x: points, shape [..., 2].
            v: k directions per point, shape [k, ..., 2], or [k, 1, .., 1, 2] where they are the same for all points.
        """
        if self.activation is not functional.softplus or type(self).forward is not ScoreMLP.forward:
            return None
        layers = [(layer.weight, layer.bias) for layer in _linear(self.layers)]
        s, jvp = softplus_with_tangents(layers, x.reshape(-1, 2), v.reshape(len(v), -1, 2))
        return s.view_as(x), jvp.view(len(v), *x.shape)


class EnergyMLP(_MLP):
    """A score that is a gradient: s(x) = -grad E(x), for a fully connected network E with one output.

    A free network is a vector field with curl, the score of no density; this one is the score of exp(-E) / Z. It costs
    one backward pass more. Z need not be known to train or to sample; in two dimensions ``density`` computes it.

    Args:
        width: units per hidden layer.
        depth: number of hidden layers.
        activation: applied after each hidden layer; it must be smooth, for it is differentiated to get the score, and
            once more by the implicit and sliced losses.
        generator: draws the initial weights; None is torch's stream.

    >>> EnergyMLP()(torch.zeros(7, 2)).shape
    torch.Size([7, 2])
    """

    def __init__(
        self,
        width: int = 128,
        depth: int = 2,
        activation: Activation = functional.softplus,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width, self.depth, self.activation = width, depth, activation
        self.layers = _layers(2, width, depth, generator, n_outputs=1)

    def energy(self, x: Tensor) -> Tensor:
        """E(x), shape [...], for points x [..., 2]; it is determined up to a constant."""
        return _through(self.layers, self.activation, x)[..., 0]

    def __call__(self, x: Tensor) -> Tensor:
        """``forward``, with torch's hooks."""
        return cast(Tensor, super().__call__(x))

    def forward(self, x: Tensor) -> Tensor:
        """The score -grad E at the points x [..., 2]; same shape."""
        return gradient(lambda y: -self.energy(y), x)

    def density(self, extent: Sequence[float], *, n_cells: int = 256) -> FromEnergy:
        """The density exp(-E) / Z on a box (left, right, bottom, top), Z by quadrature: see ``densities.from_energy``.

        It is that of the network as it is now. Outside the data E is what the network happens to be: take a box that
        ends where the data do.
        """
        kept = copy.deepcopy(self).requires_grad_(False)
        return from_energy(kept._energy_like, extent, n_cells=n_cells)

    def _energy_like(self, x: Tensor) -> Tensor:
        """E in the dtype of x, whatever that of the network."""
        return self.energy(x.to(_linear(self.layers)[0].weight)).to(x)


class NoiseConditionalMLP(_MLP):
    """A noise-conditional score network, s(x, sigma), scaled so that one network serves sigma from 0.01 to 20.

        s(x, sigma) = -x / t^2 + sd / (sigma t) F(gain x / t, log(sigma) / 2),    t^2 = sigma^2 + sd^2

    with F a fully connected network. The first term is the score of N(0, t^2 I), which is right at
    large sigma; the second is scaled so that F has to give numbers of order one at every sigma (the same reasoning as
    Karras et al. 2022, arXiv:2206.00364, section 5). ``gain`` feeds the points at a larger scale: with gain 1 a ring
    of narrow modes is learned as a ring without its modes.

    Args:
        width: units per hidden layer.
        depth: number of hidden layers.
        data_std: sd, roughly the standard deviation of the data along an axis.
        gain: scale at which F sees its points, in units of t.
        activation: applied after each hidden layer.
        generator: draws the initial weights; None is torch's stream.

    >>> NoiseConditionalMLP()(torch.zeros(7, 2), 0.5).shape
    torch.Size([7, 2])
    """

    def __init__(
        self,
        width: int = 128,
        depth: int = 3,
        data_std: float = 4.0,
        gain: float = 2.0,
        activation: Activation = functional.silu,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width, self.depth, self.activation = width, depth, activation
        self.data_std = validate.positive("data_std", data_std)
        self.gain = validate.positive("gain", gain)
        self.layers = _layers(3, width, depth, generator)

    def __call__(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """``forward``, with torch's hooks."""
        return cast(Tensor, super().__call__(x, sigma))

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """The field at the points x [..., 2] and levels sigma (a number, or broadcasting to x[..., 0])."""
        sigma = sigma.to(x) if isinstance(sigma, Tensor) else x.new_full((), sigma)  # made where x is, not moved there
        sigma = sigma[..., None] if sigma.ndim else sigma  # one level for all stays one number
        t = (sigma**2 + self.data_std**2).sqrt()
        features = torch.cat([self.gain * x / t, (sigma.log() / 2).expand(*x.shape[:-1], 1)], -1)
        return -x / t**2 + self.data_std / (sigma * t) * _through(self.layers, self.activation, features)


def _layers(
    n_inputs: int, width: int, depth: int, generator: torch.Generator | None, n_outputs: int = 2
) -> nn.ModuleList:
    """Linear layers n_inputs - width - ... - width - n_outputs, their weights drawn from ``generator``."""
    validate.count("width", width)
    validate.count("depth", depth)
    sizes = [n_inputs, *[width] * depth, n_outputs]
    layers = nn.ModuleList(nn.utils.skip_init(nn.Linear, a, b) for a, b in zip(sizes, sizes[1:], strict=False))
    _draw(layers, generator)
    return layers


def _draw(layers: nn.ModuleList, generator: torch.Generator | None) -> None:
    for layer in _linear(layers):
        bound = 1 / math.sqrt(layer.in_features)
        for p in layer.parameters():
            draw = uniform(p.shape, dtype=p.dtype, device=p.device, generator=generator)
            p.data = bound * (2 * draw - 1)


def _linear(layers: nn.ModuleList) -> list[nn.Linear]:
    return cast(list[nn.Linear], list(layers))


def _through(layers: nn.ModuleList, activation: Activation, x: Tensor) -> Tensor:
    *hidden, last = _linear(layers)
    for layer in hidden:
        x = activation(_affine(layer, x))
    return _affine(last, x)


def _affine(layer: nn.Linear, x: Tensor) -> Tensor:
    """W x + b.

    Under forward-mode differentiation torch computes a sum with a constant in Python, 0.15 ms per layer and 0.7 s at
    its first call; there it is the one product [W b] [x 1].
    """
    if in_forward_mode():
        return functional.pad(x, (0, 1), value=1.0) @ torch.cat([layer.weight, layer.bias[..., None]], -1).mT
    if layer.weight.ndim == 2:
        return functional.linear(x, layer.weight, layer.bias)
    if x.ndim == 3:
        return torch.baddbmm(layer.bias[:, None], x, layer.weight.mT)  # one pass over memory
    return x @ layer.weight.mT + layer.bias[..., None, :]
