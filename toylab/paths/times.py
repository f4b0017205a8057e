"""Times of a path, as tensors that go with points."""

import torch
from torch import Tensor

from toylab._internal import validate


def time_like(t: Tensor | float, x: Tensor) -> Tensor:
    """``t`` as a tensor in the dtype of the points x, or raise unless it is a time, or one per point.

    The values of a tensor are read where they are at hand.
    """
    validate.points("x", x)
    if not isinstance(t, Tensor):
        time = x.new_full((), validate.finite("t", t))
    else:
        time = validate.floating("t", t).to(x)
        if not _broadcasts(t, x):
            raise ValueError(
                f"t has shape {list(t.shape)} for x of shape {list(x.shape)}: give a number, or one time per point, a "
                f"tensor that broadcasts to {list(x.shape[:-1])}. From a column [n, 1] take t[:, 0]."
            )
    return _inside(time)


def time_tensor(t: Tensor | float) -> Tensor:
    """``t`` as a tensor of times, or raise; a number is one in float64."""
    if not isinstance(t, Tensor):
        return _inside(torch.tensor(validate.finite("t", t), dtype=torch.float64))
    return _inside(validate.floating("t", t))


def _inside(t: Tensor) -> Tensor:
    if validate.readable(t) and not bool(((t >= 0) & (t <= 1)).all()):
        raise ValueError(f"t is {t.tolist()}: the times of a path run from 0, the source, to 1, the data.")
    return t


def _broadcasts(t: Tensor, x: Tensor) -> bool:
    try:
        return bool(torch.broadcast_shapes(t.shape, x.shape[:-1]) == x.shape[:-1])
    except RuntimeError:
        return False


def check_ends(x0: Tensor, x1: Tensor) -> None:
    """Raise unless x0 are points, and x1 one for each of them, of their kind."""
    validate.points("x0", x0)
    validate.points("x1", x1)
    if x0.shape != x1.shape or x0.dtype != x1.dtype or x0.device != x1.device:
        raise ValueError(
            f"x0 is {list(x0.shape)}, {x0.dtype} on {x0.device} and x1 {list(x1.shape)}, {x1.dtype} on {x1.device}: a "
            "path joins each point x0 with one point x1 of the same kind. Give x0.to(x1), one row for each of x1."
        )
