"""Small networks called like a score: ``ScoreMLP`` and ``EnergyMLP`` as s(x), ``NoiseConditionalMLP`` as s(x, sigma).

``VelocityMLP`` is one of a point and a time, v(x, t), for flow matching.

A plain network is a free vector field: nothing makes it the gradient of a log-density. An energy network is one. They
are in one file since they share all but a few lines: layers, initial weights, the scale of the data, and the sums in
``_affine``.

Each is made for data of a standard deviation near ``data_std``, 4 unless told otherwise, about ``data_mean``. With
data_mean = m + c mean, data_std = c std (and sigma_unit = c) a network with the same weights gives s((x - m) / c) / c,
the score of c X + m where s is that of X: it then learns data of any scale as it learns the first, at the same learning
rate. ``network.for_data(data)`` sets them from the data. Noise levels, step sizes and boxes are yours to scale.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from toylab._internal import validate
from toylab._internal.devices import CPU, constant
from toylab._internal.mlp_jvp import in_autocast
from toylab._internal.random import uniform
from toylab._internal.torch_private import in_forward_mode
from toylab._kernels.tangents import softplus_with_tangents
from toylab.densities.density import Density
from toylab.densities.energy import FromEnergy, from_energy
from toylab.densities.parameters import Vector
from toylab.score import NoiseConditionalScore, gradient

Activation = Callable[[Tensor], Tensor]
Label = Tensor | int  # a class, or one per point, -1 for none

REFERENCE_STD = 4.0  # of the points that the layers see: that of two modes, which the reference network takes as it is


class _MLP(nn.Module):
    """What the networks share: ``layers``, linear ones, with ``activation`` after each but the last.

    All that they compute broadcasts, so that weights stacked along a first axis [n, ..] map points [..., n, m, 2],
    each its own share: ``training.ensemble`` relies on it.
    """

    layers: nn.ModuleList
    activation: Activation
    data_mean: tuple[float, float]
    data_std: float

    def _begin(
        self, n_inputs: int, n_outputs: int, width: int, depth: int, activation: Activation, data_mean: Vector | float,
        data_std: float, generator: torch.Generator | None,
    ) -> None:  # fmt: skip
        """Check the arguments, keep them, and draw the layers."""
        self.width, self.depth = validate.count("width", width), validate.count("depth", depth)
        self.activation = validate.function("activation", activation, "torch.tanh")
        self.data_mean = _place(data_mean)
        self.data_std = validate.positive("data_std", data_std)
        self.layers = _layers(n_inputs, width, depth, generator, n_outputs)

    def redrawn(self, generator: torch.Generator | None = None) -> Self:
        """A copy of this network with freshly drawn weights, as at its construction."""
        network = copy.deepcopy(self)
        _draw(network.layers, generator)
        return network

    def for_data(self, data: Density | Tensor) -> Self:
        """A copy of this network, its weights the same, made for data of this place and scale.

        ``data_mean`` and ``data_std`` become those of ``scale_of`` the points, or of 10,000 draws from a density, made
        by a generator of their own.

        Args:
            data: a density, or points [N, 2].

        Raises:
            ValueError: if all points are the same.

        >>> from toylab.densities import isotropic
        >>> round(ScoreMLP().for_data(isotropic([[0.0, 0.0]], 300.0)).data_std, -2)
        300.0
        """
        network = copy.deepcopy(self)
        if isinstance(data, Density):
            data = data.sample((10_000,), generator=torch.Generator(data.device).manual_seed(0))
        network.data_mean, network.data_std = scale_of(data)
        return network

    def _checked(self, x: Tensor) -> Tensor:
        """``x``, or an error unless it is points [..., 2] where the weights are and in their dtype."""
        validate.points("x", x)
        weight = _linear(self.layers)[0].weight
        if x.dtype != weight.dtype and not in_autocast(x):
            raise TypeError(
                f"x is {x.dtype} and the weights of the network are {weight.dtype}: give x.to({weight.dtype}), or turn "
                f"the network into network.to({x.dtype})."
            )
        if x.device != weight.device:
            raise ValueError(
                f"x is on {x.device} and the weights of the network on {weight.device}: give "
                f"x.to({str(weight.device)!r}), or move the network by network.to({str(x.device)!r})."
            )
        return x

    def _centred(self, x: Tensor) -> Tensor:
        """X - data_mean."""
        a, b = self.data_mean
        return x if a == b == 0 else torch.stack([x[..., 0] - a, x[..., 1] - b], -1)

    @property
    def _rate(self) -> float:
        """What the layers see of a unit of length."""
        return REFERENCE_STD / self.data_std

    def _at_scale(self, x: Tensor) -> Tensor:
        """``_rate`` x; x itself where that is 1."""
        return x if self._rate == 1 else self._rate * x


class ScoreMLP(_MLP):
    """A fully connected score network s(x) on the plane, s = W_L a(... a(W_1 x + b_1) ...) + b_L.

    The defaults are the reference network 2-128-128-2 with softplus (Song & Ermon 2019, toy experiments). The
    implicit and sliced losses differentiate the network, so the activation must be smooth: ReLU learns nothing there.

    For data of another place and scale it is s(x) = c F(c (x - data_mean)), c = 4 / data_std, with F the network above:
    the layers see points of a standard deviation of 4, as they do by default of data like the two modes.

    Args:
        width: units per hidden layer.
        depth: number of hidden layers.
        activation: applied after each hidden layer.
        data_mean: roughly the middle of the data, one number or two.
        data_std: roughly the standard deviation of the data along an axis, as ``for_data`` finds it; right within a
            factor of five.
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
        data_mean: Vector | float = 0.0,
        data_std: float = REFERENCE_STD,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self._begin(2, 2, width, depth, activation, data_mean, data_std, generator)

    def __call__(self, x: Tensor) -> Tensor:
        """``forward``, with torch's hooks."""
        return cast(Tensor, super().__call__(x))

    def forward(self, x: Tensor) -> Tensor:
        """The field at the points x [..., 2]; same shape."""
        z = self._at_scale(self._centred(self._checked(x)))
        return self._at_scale(_through(self.layers, self.activation, z))

    def with_tangents(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor] | None:
        """s(x) [..., 2] and (grad s)(x) v [k, ..., 2]; None unless the activation is softplus, and under autocast.

        ``score.value_and_jvp`` prefers it to forward mode.

        Args:
            x: points, shape [..., 2].
            v: k directions per point, shape [k, ..., 2], or [k, 1, .., 1, 2] where they are the same for all points.
        """
        v = validate.directions("v", v, self._checked(x))
        if self.activation is not functional.softplus or type(self).forward is not ScoreMLP.forward or in_autocast(x):
            return None
        layers = [(layer.weight, layer.bias) for layer in _linear(self.layers)]
        z, along = self._at_scale(self._centred(x)), self._at_scale(v)
        s, jvp = softplus_with_tangents(layers, z.reshape(-1, 2), along.reshape(len(v), -1, 2))
        return self._at_scale(s).view_as(x), self._at_scale(jvp).view(len(v), *x.shape)


class EnergyMLP(_MLP):
    """A score that is a gradient: s(x) = -grad E(x), for a fully connected network E with one output.

    A free network is a vector field with curl, the score of no density; this one is the score of exp(-E) / Z. It costs
    one backward pass more. Z need not be known to train or to sample; in two dimensions ``density`` computes it.

    For data of another place and scale it is E(x) = F(c (x - data_mean)), c = 4 / data_std, as in ``ScoreMLP``.

    Args:
        width: units per hidden layer.
        depth: number of hidden layers.
        activation: applied after each hidden layer; it must be smooth, for it is differentiated to get the score, and
            once more by the implicit and sliced losses.
        data_mean: as in ``ScoreMLP``.
        data_std: as in ``ScoreMLP``.
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
        data_mean: Vector | float = 0.0,
        data_std: float = REFERENCE_STD,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self._begin(2, 1, width, depth, activation, data_mean, data_std, generator)

    def energy(self, x: Tensor) -> Tensor:
        """E(x), shape [...], for points x [..., 2]; it is determined up to a constant."""
        z = self._at_scale(self._centred(self._checked(x)))
        return _through(self.layers, self.activation, z)[..., 0]

    def __call__(self, x: Tensor) -> Tensor:
        """``forward``, with torch's hooks."""
        return cast(Tensor, super().__call__(x))

    def forward(self, x: Tensor) -> Tensor:
        """The score -grad E at the points x [..., 2]; same shape."""
        return gradient(lambda y: -self.energy(y), self._checked(x))

    def with_chains(self, x: Tensor) -> Self:
        """A copy of this network that carries chains along: a buffer ``chains`` [m, 2], in its dtype, where it is.

        ``PersistentContrastiveDivergence`` moves them. ``training.save`` leaves them out.

        Args:
            x: where they start, such as draws from the data or ``samplers.uniform_start(256, extent)``.
        """
        network = copy.deepcopy(self)
        validate.finite_cloud("x", x)
        network.register_buffer("chains", x.detach().to(_linear(self.layers)[0].weight, copy=True), persistent=False)
        return network

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

        s(x, sigma) = -y / t^2 + sd / (sigma t) F(gain y / t, log(sigma / sigma_unit) / 2)

    with y = x - data_mean, t^2 = sigma^2 + sd^2 and F a fully connected network. The first term is the score of
    N(data_mean, t^2 I), which is right at large sigma; the second is scaled so that F has to give numbers of order one
    at every sigma (the same reasoning as Karras et al. 2022, arXiv:2206.00364, section 5). ``gain`` feeds the points at
    a larger scale: with gain 1 a ring of narrow modes is learned as a ring without its modes.

    With ``n_classes`` K it is one network of K + 1 scores, s(x, sigma, k) of each class and s(x, sigma) of all: F sees
    the k-th unit vector of K numbers besides, and 0 where no class is named. ``of_class(k)`` is the score of class k,
    and ``objectives.ClassConditional`` trains all of them at once.

    Args:
        width: units per hidden layer.
        depth: number of hidden layers.
        data_std: sd, roughly the standard deviation of the data along an axis.
        gain: scale at which F sees its points, in units of t.
        activation: applied after each hidden layer.
        data_mean: roughly the middle of the data, one number or two.
        sigma_unit: unit of the noise levels that F sees. For data c times as large take levels, data_std and this c
            times as large.
        n_classes: K.
        generator: draws the initial weights; None is torch's stream.

    >>> NoiseConditionalMLP()(torch.zeros(7, 2), 0.5).shape
    torch.Size([7, 2])
    >>> NoiseConditionalMLP(n_classes=2).of_class(1)(torch.zeros(7, 2), 0.5).shape
    torch.Size([7, 2])
    """

    _n_outputs = 2  # of F

    def __init__(
        self,
        width: int = 128,
        depth: int = 3,
        data_std: float = REFERENCE_STD,
        gain: float = 2.0,
        activation: Activation = functional.silu,
        *,
        data_mean: Vector | float = 0.0,
        sigma_unit: float = 1.0,
        n_classes: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_classes = validate.count("n_classes", n_classes, 0)
        self.gain = validate.positive("gain", gain)
        self.sigma_unit = validate.positive("sigma_unit", sigma_unit)
        self._begin(3 + n_classes, self._n_outputs, width, depth, activation, data_mean, data_std, generator)

    def for_data(self, data: Density | Tensor) -> Self:
        """As that of ``ScoreMLP``; ``sigma_unit`` becomes a quarter of ``data_std``, as it is by default."""
        network = super().for_data(data)
        network.sigma_unit = network.data_std / REFERENCE_STD
        return network

    def of_class(self, label: Label) -> NoiseConditionalScore:
        """The score of one class, a function of x and sigma; the network is not copied.

        Args:
            label: the class, from 0; or one per point, whole numbers that broadcast to x[..., 0], -1 for no class.

        Raises:
            ValueError: if the network knows no such class.
        """
        validate.label(label, self.n_classes)
        return _OfClass(self, label)

    def __call__(self, x: Tensor, sigma: Tensor | float, label: Label | None = None) -> Tensor:
        """``forward``, with torch's hooks."""
        return cast(Tensor, super().__call__(x, sigma) if label is None else super().__call__(x, sigma, label))

    def forward(self, x: Tensor, sigma: Tensor | float, label: Label | None = None) -> Tensor:
        """The field at the points x [..., 2] and levels sigma > 0 (a number, or broadcasting to x[..., 0]).

        It is that of all classes, or that of ``label``, which is as in ``of_class``.
        """
        sigma, t, y, f = self._parts(x, sigma, label)
        return -y / t**2 + self.data_std / (sigma * t) * f

    def _label_features(self, x: Tensor, label: Label | None) -> list[Tensor]:
        """The unit vector of the class of each point, [..., K], 0 for none; nothing for a network without classes."""
        if label is not None:
            validate.label(label, self.n_classes, x)
        if self.n_classes == 0:
            return []
        if label is None:
            return [x.new_zeros(()).expand(*x.shape[:-1], self.n_classes)]
        classes = constant(tuple(float(k) for k in range(self.n_classes)), x)
        here = label.to(x.device)[..., None] if isinstance(label, Tensor) else label
        return [(classes == here).to(x.dtype).expand(*x.shape[:-1], self.n_classes)]

    def _parts(
        self, x: Tensor, sigma: Tensor | float, label: Label | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sigma and t, with a last dimension of 1 unless they are one number for all, y, and F at all points."""
        sigma = validate.positive_level(sigma, self._checked(x))
        sigma = sigma if isinstance(sigma, Tensor) else x.new_full((), sigma)  # made where x is, not moved there
        sigma = sigma[..., None] if sigma.ndim else sigma  # one level for all stays one number
        t, y = (sigma**2 + self.data_std**2).sqrt(), self._centred(x)
        level = sigma.log() if self.sigma_unit == 1 else (sigma / self.sigma_unit).log()
        features = [self.gain * y / t, (level / 2).expand(*x.shape[:-1], 1), *self._label_features(x, label)]
        return sigma, t, y, _through(self.layers, self.activation, torch.cat(features, -1))


@dataclass(frozen=True, eq=False)
class _OfClass:  # not a function, which would hide the network, and where its weights are
    network: NoiseConditionalMLP
    label: Label

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        return self.network(x, sigma, self.label)


class NoiseConditionalEnergyMLP(NoiseConditionalMLP):
    """A noise-conditional score that is a gradient: s(x, sigma) = -grad E(x, sigma), E one scalar network.

        E(x, sigma) = |y|^2 / (2 t^2) - sd / (sigma gain) F(gain y / t, log(sigma / sigma_unit) / 2)

    with y, t, sd and gain as in ``NoiseConditionalMLP``, whose second term here is that of grad F. At each level it is
    the score of a density, exp(-E(., sigma)) / Z(sigma), so that Metropolis samplers can use it. Any objective for
    noise-conditional scores trains it; it costs one backward pass more. E is known up to a constant at each level.

    Args:
        width: as in ``NoiseConditionalMLP``, like all that follow.
        depth: number of hidden layers.
        data_std: sd.
        gain: scale at which F sees its points, in units of t.
        activation: applied after each hidden layer; it must be smooth.
        data_mean: roughly the middle of the data.
        sigma_unit: unit of the noise levels.
        n_classes: K.
        generator: draws the initial weights; None is torch's stream.

    >>> network = NoiseConditionalEnergyMLP()
    >>> network(torch.zeros(7, 2), 0.5).shape, network.energy(torch.zeros(7, 2), 0.5).shape
    (torch.Size([7, 2]), torch.Size([7]))
    """

    _n_outputs = 1

    def energy(self, x: Tensor, sigma: Tensor | float, label: Label | None = None) -> Tensor:
        """E(x, sigma), shape [...], for points x [..., 2] and levels sigma > 0, as in ``forward``."""
        sigma, t, y, f = self._parts(x, sigma, label)
        return (y / t).square().sum(-1) / 2 - (self.data_std / (sigma * self.gain) * f)[..., 0]

    def forward(self, x: Tensor, sigma: Tensor | float, label: Label | None = None) -> Tensor:
        """The score -grad E at the points x [..., 2] and levels sigma > 0 (a number, or broadcasting to x[..., 0])."""
        return gradient(lambda y: -self.energy(y, sigma, label), self._checked(x))


class VelocityMLP(_MLP):
    """A velocity v(x, t) for flow matching, of points and times in [0, 1], both ends included.

        v(x, t) = data_mean + F(c (x - t data_mean), t) / c,      c = 4 / data_std

    with F a fully connected network: along the linear path the mean moves from 0 to data_mean at that velocity.

    Args:
        width: units per hidden layer.
        depth: number of hidden layers.
        activation: applied after each hidden layer.
        data_mean: roughly the middle of the data, one number or two.
        data_std: roughly the standard deviation of the data along an axis.
        generator: draws the initial weights; None is torch's stream.

    >>> VelocityMLP()(torch.zeros(7, 2), 0.0).shape
    torch.Size([7, 2])
    """

    def __init__(
        self,
        width: int = 128,
        depth: int = 3,
        activation: Activation = functional.silu,
        *,
        data_mean: Vector | float = 0.0,
        data_std: float = REFERENCE_STD,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self._begin(3, 2, width, depth, activation, data_mean, data_std, generator)

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        """``forward``, with torch's hooks."""
        return cast(Tensor, super().__call__(x, t))

    def forward(self, x: Tensor, t: Tensor | float) -> Tensor:
        """The velocity at the points x [..., 2] and times t (a number, or broadcasting to x[..., 0])."""
        time = validate.path_time(t, self._checked(x)).expand(x.shape[:-1])[..., None]
        mean = constant(self.data_mean, x) if self.data_mean != (0.0, 0.0) else None
        y = x if mean is None else x - time * mean
        velocity = _through(self.layers, self.activation, torch.cat([self._at_scale(y), time], -1))
        velocity = velocity if self._rate == 1 else velocity / self._rate
        return velocity if mean is None else velocity + mean


def scale_of(x: Tensor) -> tuple[tuple[float, float], float]:
    """Middle of the points [N, 2], and their standard deviation along an axis.

    The middle is that between the first and the last twentieth along each axis: the network is to reach all modes,
    whatever their weights. The twentieth part farthest from it is left out of the standard deviation, which it would
    decide alone in a law with heavy tails; a normal law loses 8 % by that.

    Raises:
        ValueError: if all points are the same.
    """
    validate.finite_cloud("data", x)
    x = x.detach().double()
    k = math.ceil(0.95 * len(x))
    middle = (x.kthvalue(k, 0).values - (-x).kthvalue(k, 0).values) / 2
    far = (x - middle).square().sum(-1)
    x = x[far <= far.kthvalue(k).values]
    std = float(x.var(0, correction=0).mean().sqrt())
    if std == 0:
        raise ValueError(f"data are {len(x)} points at one place, which have no scale. Give data_std yourself.")
    return (float(middle[0]), float(middle[1])), std


def _place(value: Vector | float) -> tuple[float, float]:
    """Two numbers, one per coordinate, or one for both."""
    both = (value, value) if validate.is_number(value) else value
    return validate.pair("data_mean", cast(Vector, both))


def _layers(
    n_inputs: int, width: int, depth: int, generator: torch.Generator | None, n_outputs: int = 2
) -> nn.ModuleList:
    """Linear layers n_inputs - width - ... - width - n_outputs, their weights drawn from ``generator``."""
    sizes = [n_inputs, *[width] * depth, n_outputs]
    layers = nn.ModuleList(_undrawn(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
    _draw(layers, generator)
    return layers


def _undrawn(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer whose making draws no numbers: ``nn.utils.skip_init``, but that loads sympy, 33 MB."""
    layer = nn.Linear(n_in, n_out, device="meta")
    for name, p in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(torch.empty(p.shape, dtype=p.dtype, device=CPU)))
    return layer


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
