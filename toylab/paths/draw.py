"""Points of a path with their targets: what a velocity is trained on."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like, uniform
from toylab.paths.coupling import Coupling, independent
from toylab.paths.interpolant import Interpolant
from toylab.paths.path import Path


@dataclass(frozen=True, eq=False)
class Draw:
    """A batch of points on their ways.

    Attributes:
        x0: starts from the source, shape [..., 2].
        x1: ends from the data, shape [..., 2].
        t: times, shape [...].
        x: the points x_t, shape [..., 2].
        target: their derivatives x'_t, shape [..., 2].
        z: the latent noise of an ``Interpolant``, shape [..., 2]; None on other paths.
    """

    x0: Tensor
    x1: Tensor
    t: Tensor
    x: Tensor
    target: Tensor
    z: Tensor | None = None


def draw(
    path: Path | Interpolant,
    x1: Tensor,
    *,
    coupling: Coupling = independent,
    generator: torch.Generator | None = None,
) -> Draw:
    """Starts and times for data points, uniform on [0, 1), and the points between.

    Along an ``Interpolant`` x_t and x'_t share their draw of z. Times are greater than 0 there, as gamma' may be
    infinite at 0.

    Args:
        path: such as ``Linear()``.
        x1: points of the data, shape [..., 2].
        coupling: which start goes with which point: ``independent`` or ``optimal_transport``.
        generator: source of randomness; None is torch's global stream.

    >>> from toylab.paths import Linear
    >>> draw(Linear(), torch.zeros(5, 2)).target.shape
    torch.Size([5, 2])
    """
    require_path(path)
    if coupling is not independent:
        validate.function("coupling", coupling, "paths.optimal_transport", takes=2)
    validate.points("x1", x1)
    t = uniform(x1.shape[:-1], dtype=x1.dtype, device=x1.device, generator=generator)
    x0 = coupling(path.start(x1, generator), x1)
    if not isinstance(path, Interpolant):
        return Draw(x0, x1, t, path.point(x0, x1, t), path.derivative(x0, x1, t))
    t, z = t.clamp(min=0.5 * torch.finfo(t.dtype).eps), normal_like(x1, generator)  # the least time above 0
    return Draw(x0, x1, t, path.point(x0, x1, t, z), path.derivative(x0, x1, t, z), z)


@lru_cache
def _is_path(kind: type) -> bool:
    """Whether a class has the methods of a path: a look at a protocol takes longer than a draw."""
    return issubclass(kind, Path)


def require_path(path: Path | Interpolant) -> Path | Interpolant:
    """Return ``path``, or raise ``TypeError`` unless it is one."""
    if isinstance(path, type) or not (isinstance(path, Interpolant) or _is_path(type(path))):
        given = f"the class {path.__name__}" if isinstance(path, type) else f"a {type(path).__name__}"
        raise TypeError(
            f"path is {given}: give a path, such as Linear() or cosine(), or an object with start, point, derivative, "
            "velocity and irreducible."
        )
    return path
