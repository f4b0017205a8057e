"""What a path is, and what a velocity."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from toylab.densities.density import Density

Schedule = Callable[[Tensor], Tensor]
"""schedule(t): times in [0, 1] in, one number per time out, shape of t."""


@runtime_checkable
class VelocityField(Protocol):
    """``velocity(x, t)``: points [..., 2] and times in [0, 1] in, dx/dt [..., 2] out."""

    def __call__(self, x: Tensor, t: Tensor | float, /) -> Tensor:
        """The velocity at the points x [..., 2] and the time t, a number or one per point; shape of x."""
        ...


@runtime_checkable
class Path(Protocol):
    """What ``draw`` and ``FlowMatching`` ask of a path: ``Linear``, ``GaussianPath`` or one of your own."""

    def start(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws of x_0, of the shape, dtype and device of ``like``."""
        ...

    def point(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """x_t between x_0 and x_1."""
        ...

    def derivative(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """dx_t/dt between x_0 and x_1: what a velocity is trained on."""
        ...

    def velocity(self, density: Density, x: Tensor, t: Tensor | float) -> Tensor:
        """E[dx_t/dt | x_t = x] for x_1 from ``density`` and an x_0 independent of it."""
        ...

    def irreducible(self, density: Density, t: float) -> float:
        """1/2 E|dx_t/dt - v(x_t, t)|^2 at one time: what no velocity can explain."""
        ...


@runtime_checkable
class NoisePath(Protocol):
    """A path x_t = alpha(t) x_1 + sigma(t) z with z ~ N(0, I): its velocity and its score tell the same."""

    def alpha(self, t: Tensor) -> Tensor:
        """The share of the data in x_t; shape of t."""
        ...

    def sigma(self, t: Tensor) -> Tensor:
        """The standard deviation of the noise in x_t; shape of t."""
        ...

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha'(t) and sigma'(t), each of the shape of t."""
        ...
