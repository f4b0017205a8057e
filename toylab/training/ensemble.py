"""Several networks of one shape as one module, so that a step of all costs little more than a step of one."""

import copy
from collections.abc import Callable, Sequence
from typing import Self, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from toylab._internal.mlp_jvp import in_autocast
from toylab._kernels.tangents import softplus_with_tangents
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP, _draw

_Module = TypeVar("_Module", bound=nn.Module)
_OURS = (ScoreMLP, EnergyMLP, NoiseConditionalMLP, NoiseConditionalEnergyMLP)


class Ensemble(nn.Module):
    """n networks side by side: called with points [..., n, m, 2], network k maps the m points [..., k, :, :].

    Their parameters are stacked along a new first axis; nothing is shared, so that the gradient of a sum over the
    networks is the gradient of each, and Adam, which works entry by entry, treats each as if it were alone.

    Args:
        networks: modules of one shape, called as score(x) or as score(x, sigma).

    Raises:
        TypeError: if they cannot be run side by side by ``torch.func.vmap``.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(networks))
        self.n = len(networks)
        self._names, self._buffer_names = list(parameters), list(buffers)
        for i, stack in enumerate(buffers.values()):  # running means and the like, which the networks change in place
            self.register_buffer(f"buffer_{i}", stack)
        self.weights = nn.ParameterList(nn.Parameter(stack.detach()) for stack in parameters.values())
        # our networks broadcast over stacked layers, without vmap; a subclass or an activation with weights may not
        self._broadcasts = type(networks[0]) in _OURS and all(name.startswith("layers.") for name in self._names)
        self._one = [copy.deepcopy(networks[0])]  # in a list: its own weights are not parameters of this module
        self.training = networks[0].training

    def train(self, mode: bool = True) -> Self:
        """Training mode, or evaluation mode, of all."""
        self._one[0].train(mode)
        return super().train(mode)

    def forward(self, x: Tensor, *sigma: Tensor | float) -> Tensor:
        """The fields at the points x [..., n, m, 2]; same shape. A tensor sigma is [..., n, m], or of no dimension."""
        return self._each(self._one[0], "", x, *sigma).view(x.movedim(-3, 0).shape).movedim(0, -3)

    def energy(self, x: Tensor) -> Tensor:
        """The energies [..., n, m] at the points x [..., n, m, 2], of networks that have one."""
        return self._each(_Energy(self._one[0]), "network.", x).view(x.movedim(-3, 0).shape[:-1]).movedim(0, -2)

    @property
    def chains(self) -> Tensor | None:
        """The buffers ``chains`` of the networks, [n, m, 2], if they have them."""
        buffers = dict(zip(self._buffer_names, self.buffers(), strict=True))
        return buffers.get("chains")

    def _each(self, one: nn.Module, prefix: str, x: Tensor, *sigma: Tensor | float) -> Tensor:
        """What each network gives at its points, [n, all points of a network, ..].

        Args:
            one: the first network, or a module that holds it.
            prefix: of the names of its weights there.
            x: points [..., n, m, 2].
            sigma: levels, as in ``forward``.
        """
        if x.ndim < 3 or x.shape[-3] != self.n:
            raise ValueError(
                f"the objective calls the score with points {list(x.shape)}: of {self.n} networks side by side it "
                f"must be [..., {self.n}, m, 2]. Keep the batch dimensions of x in the objective, or leave n_seeds 1."
            )
        # [n, all points of a network, 2]: one product per layer, whatever the objective has stacked in front
        own = x.movedim(-3, 0).reshape(self.n, -1, 2)
        levels = [
            s.expand(x.shape[:-1]).movedim(-2, 0).reshape(self.n, -1) if isinstance(s, Tensor) and s.ndim else s
            for s in sigma
        ]
        weights = dict(zip((prefix + name for name in self._names), self.weights, strict=True))
        buffers = dict(zip((prefix + name for name in self._buffer_names), self.buffers(), strict=True))

        def field(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, *sigma: Tensor | float) -> Tensor:
            s: Tensor = functional_call(one, (weights, buffers), (x, *sigma))
            return s

        if not self._broadcasts:
            where = [0 if isinstance(s, Tensor) and s.ndim else None for s in levels]
            field = vmap(field, in_dims=(0, 0, 0, *where), randomness="different")
        return field(weights, buffers, own, *levels)

    def with_tangents(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor] | None:
        """As that of ``ScoreMLP``, for points [..., n, m, 2] and directions [k, ..., n, m, 2] or [k, 1, .., 1, 2]."""
        one = self._one[0]
        if not self._broadcasts or type(one) is not ScoreMLP or one.activation is not functional.softplus:
            return None
        if in_autocast(x):
            return None
        own, along = x.movedim(-3, 0), v.movedim(-3, 0)  # [n, .., m, 2] and [n, k, .., m, 2]
        layers = list(zip(self.weights[::2], self.weights[1::2], strict=True))
        own, along = one._at_scale(one._centred(own)), one._at_scale(along)
        s, jvp = softplus_with_tangents(
            layers, own.reshape(self.n, -1, 2), along.reshape(len(along), len(v), -1, 2).expand(self.n, -1, -1, -1)
        )
        s, jvp = one._at_scale(s), one._at_scale(jvp)
        return s.view(own.shape).movedim(0, -3), jvp.view(self.n, len(v), *own.shape[1:]).movedim(0, -3)

    def split(self) -> tuple[nn.Module, ...]:
        """The n networks, each on its own, with gradients off."""
        networks = tuple(_copied(self._one[0]).requires_grad_(False) for _ in range(self.n))
        for k, network in enumerate(networks):
            own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
            names, stacks = [*self._names, *self._buffer_names], [*self.weights, *self.buffers()]
            for name, stack in zip(names, stacks, strict=True):
                own[name].copy_(stack.detach()[k])
        return networks


class _Energy(nn.Module):
    """E of a network in place of its score."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.network.energy(x)  # type: ignore[operator]  # the objective has asked for it
        return found


def redrawn(network: nn.Module, n: int, generator: torch.Generator | None) -> list[nn.Module]:
    """n more networks like this one, with fresh weights from its method ``redrawn``.

    Raises:
        TypeError: if it has none.
    """
    if isinstance(network, _OURS) and type(network) in _OURS:  # no subclass, which may draw in a way of its own
        networks = [_copied(network) for _ in range(n)]
        for each in networks:
            _draw(each.layers, generator)
        return list(networks)
    draw: Callable[[torch.Generator | None], nn.Module] | None = getattr(network, "redrawn", None)
    if draw is None:
        raise TypeError(
            f"network is a {type(network).__name__}, which has no redrawn(generator), so that n_seeds cannot start "
            "others like it. Give it that method (a copy with fresh weights), or call fit once per seed."
        )
    return [draw(generator) for _ in range(n)]


def _copied(network: _Module) -> _Module:
    """``copy.deepcopy(network)``, of our own networks in a sixth of its time, which of 512 is a quarter of a second."""
    return _twin(network) if type(network) in _OURS else copy.deepcopy(network)


def _twin(module: _Module) -> _Module:
    """A module of the same settings with children, weights and buffers of its own; hooks lie in its dictionaries."""
    twin = copy.copy(module)
    vars(twin).update({name: part.copy() for name, part in vars(module).items() if isinstance(part, dict)})
    for name, child in module.named_children():
        setattr(twin, name, _twin(child))
    for name, held in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        setattr(twin, name, copy.deepcopy(held))
    return twin


def single_networks(network: nn.Module) -> tuple[nn.Module, ...]:
    """Copies of the networks of an ensemble one by one, or of the one network, each in memory of its own."""
    return network.split() if isinstance(network, Ensemble) else (copy.deepcopy(network),)
