"""Values as a user with a card has them: on the card, with generators there."""

import copy
import dataclasses
import types
from typing import Any

import torch
from torch import Tensor, nn

from toylab.densities import Density, FromTorch, from_torch
from toylab.training import History


def on_card(value: Any, device: str = "cuda") -> Any:
    """The same value, its tensors, networks, laws and generators moved, whatever holds them."""
    owner = getattr(value, "__self__", None)
    if isinstance(value, torch.Generator):
        return torch.Generator(device).manual_seed(1)
    if isinstance(value, FromTorch):  # which evaluates where its distribution is
        return from_torch(on_card(value.distribution, device))
    if isinstance(value, Tensor | Density):
        return value.to(device)
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).to(device)
    if isinstance(value, torch.distributions.MultivariateNormal):
        return torch.distributions.MultivariateNormal(value.loc.to(device), value.covariance_matrix.to(device))
    if isinstance(value, types.MethodType) and not isinstance(owner, type):
        return getattr(on_card(owner, device), value.__name__)
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(on_card(part, device) for part in value)
    if type(value) in (list, tuple):
        return type(value)(on_card(part, device) for part in value)
    if type(value) is dict:
        return {key: on_card(part, device) for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type | History):
        moved = copy.copy(value)
        for name, part in vars(value).items():
            object.__setattr__(moved, name, on_card(part, device))
        return moved
    return value
