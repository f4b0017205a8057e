"""Where the points of a training step come from."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import integers
from toylab._internal.uncalled import refuse_function
from toylab.densities.density import Density


def batches(
    data: Density | Tensor, like: Tensor, shape: tuple[int, ...], generator: torch.Generator | None
) -> Callable[[], Tensor]:
    """A function that draws the next batch, of shape [*shape, 2], in the dtype and on the device of ``like``.

    Args:
        data: a density (fresh points at every call), or a fixed set of points [N, 2] to draw from.
        like: a tensor of the dtype and on the device wanted.
        shape: of the batch, without the coordinates.
        generator: source of randomness; None is torch's global stream.
    """
    if isinstance(data, Density):
        density = data.to(like)
        return lambda: density.sample(shape, generator=generator)
    refuse_function("data", data)
    validate.finite_cloud("data", data)
    points = data.detach().to(like)
    return lambda: points[integers(len(points), shape, device=points.device, generator=generator)]
