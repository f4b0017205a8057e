"""Times of a path, as tensors that go with points, and the two ends that it joins."""

import torch
from torch import Tensor

from toylab._internal import validate


def time_like(t: Tensor | float, x: Tensor) -> Tensor:
    """``t``, a time or one per point of x [..., 2], as a tensor in the dtype of x, or raise."""
    return validate.path_time(t, validate.points("x", x))


def time_tensor(t: Tensor | float) -> Tensor:
    """``t`` as a tensor of times, or raise; a number is one in float64."""
    if not isinstance(t, Tensor):
        t = torch.tensor(validate.finite("t", t), dtype=torch.float64, device="cpu")
    return validate.path_times(validate.floating("t", t))


def check_ends(x0: Tensor, x1: Tensor, name: str = "x0") -> None:
    """Raise unless x0, called ``name``, are points, and x1 one for each of them, of their kind."""
    validate.points(name, x0)
    validate.points("x1", x1)
    if x0.shape != x1.shape or x0.dtype != x1.dtype or x0.device != x1.device:
        raise ValueError(
            f"{name} is {list(x0.shape)}, {x0.dtype} on {x0.device} and x1 {list(x1.shape)}, {x1.dtype} on "
            f"{x1.device}: a path joins each point {name} with one point x1 of the same kind. Give {name}.to(x1), one "
            "row for each of x1."
        )
