"""Score matching on a bounded domain: implicit matching with a weight that vanishes at the walls."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from toylab._internal import user_functions, validate
from toylab.densities.boxes import Checkerboard, Square
from toylab.densities.density import Affine, Density
from toylab.densities.quadrature import expectation
from toylab.objectives.inputs import check_inputs, require_density, vectors
from toylab.score import Score, value_and_jacobian, value_and_vjp


@dataclass(frozen=True)
class WallDistance:
    """A weight of ``BoundedImplicit`` for a box: h_i(x) = d_i^power, d_i the distance to the walls along axis i.

    1 / d_i = 1 / (x_i - low_i) + 1 / (high_i - x_i) + 1 / scale, where what is infinitely far adds nothing: it is the
    distance to the only wall, and (x_i - low_i) (high_i - x_i) / (high_i - low_i) between two; far from all walls it
    levels off at ``scale``. It is 0 at the walls and smooth between them. An axis without walls has h_i = 1, and
    outside the box h is nan.

    ``WallDistance((0, inf, 0, inf), power=2)`` is the x_i^2 of Hyvarinen 2007. Power 1 with a ``scale`` about as large
    as the data spread is of the kind that Yu, Drton & Shojaie 2019 find more efficient, as it does not count the
    farthest points most.

    Args:
        box: (left, right, bottom, top), each of which may be infinite: a box, a half-plane, a quadrant.
        power: at least 1, so that the slope of h is finite at the walls.
        scale: where h levels off; inf is not at all.

    >>> WallDistance((0, math.inf, -1, 1), power=2)(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    tensor([[9.0000, 0.2500],
            [0.0000, 0.0000]])
    """

    box: tuple[float, float, float, float]
    power: float = 1.0
    scale: float = math.inf

    def __post_init__(self) -> None:
        power = validate.positive("power", self.power)
        if power < 1:
            raise ValueError(f"power is {self.power}: below 1 the slope of the weight is infinite at a wall. Give 1.")
        scale = self.scale if self.scale == math.inf else validate.positive("scale", self.scale)
        vars(self).update(box=validate.extent("box", self.box, infinite=True), power=power, scale=scale)

    def __call__(self, x: Tensor) -> Tensor:
        """The weights h [..., 2] at points x [..., 2]."""
        x1, x2 = validate.points("x", x).unbind(-1)
        left, right, bottom, top = self.box
        return torch.stack([self._along(x1, left, right), self._along(x2, bottom, top)], -1)

    def _along(self, t: Tensor, low: float, high: float) -> Tensor:
        walls = [t - low] if low > -math.inf else []
        walls += [high - t] if high < math.inf else []
        if not walls:
            return torch.ones_like(t)
        d = walls[0] if len(walls) == 1 else walls[0] * walls[1] / (high - low)
        d = d if self.scale == math.inf else d / (1 + d / self.scale)
        inside = (t >= low) & (t <= high)
        return torch.where(inside, torch.where(inside, d, 1.0) ** self.power, math.nan)


@dataclass(frozen=True)
class BoundedImplicit:
    """Sum_i of d/dx_i (h_i s_i) + 1/2 h_i s_i^2, for a weight h(x) that vanishes at the walls of the domain.

    Written out, h_i s_i^2 / 2 + h_i d_i s_i + s_i d_i h_i. Its mean is 1/2 E sum_i h_i (s_i - d_i log p)^2, the Fisher
    divergence that counts coordinate i by h_i, less a constant: h_i p s_i is 0 at the walls, and integration by parts
    leaves no boundary term there, which is what makes ``Implicit`` wrong for a density that jumps. Every positive
    weight has the same minimiser, the score in the domain, and its own variance.

    The weight must vanish at *all* jumps of the density: ``WallDistance`` does it for laws that are cut along the sides
    of one box, as ``p.truncated(box)`` and ``Square`` are. The walls of ``Checkerboard`` run inside its board; a weight
    for it is lambda x: (0.5 * math.pi * x).sin().square().

    Source: Hyvarinen 2007 (h_i = x_i^2 on the positive quadrant); Yu, Drton & Shojaie 2019 (any h_i of x_i); Liu,
    Kanamori & Williams 2022 (the distance to the boundary of a domain).

    Args:
        weight: h, maps points [n, 2] to weights, one per coordinate [n, 2] or one for both [n]; differentiable.
    """

    weight: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        validate.function("weight", self.weight, "WallDistance((0, math.inf, 0, math.inf))")

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]; nan outside a box of ``WallDistance``. Draws nothing."""
        s, ds = value_and_jacobian(check_inputs(score, x, generator), x)
        axes = torch.eye(2, dtype=x.dtype, device=x.device).view(2, *(1,) * (x.ndim - 1), 2)
        h, dh = value_and_vjp(partial(weights_in, self.weight), x, axes)  # plain arithmetic is quicker by reverse mode
        ds, dh = ds.diagonal(dim1=-2, dim2=-1), dh.diagonal(dim1=0, dim2=-1)
        return (h * (0.5 * s.square() + ds) + dh * s).sum(-1)

    def offset(self, density: Density) -> float:
        """1/2 E sum_i h_i (d_i log p)^2, by quadrature; 0 for uniform laws, moved or not, whose score is 0."""
        inner = require_density(density)
        while isinstance(inner, Affine):
            inner = inner.density
        if isinstance(inner, Square | Checkerboard):
            return 0.0
        return expectation(lambda x: 0.5 * (weights_in(self.weight, x) * density.score(x).square()).sum(-1), density)


def weights_in(weight: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What ``weight`` gives at points x [n, 2], as one number per coordinate, [n, 2]."""
    h = user_functions.called("weight", weight, x)
    if isinstance(h, Tensor) and h.shape == x.shape[:-1]:  # one for both coordinates
        h = torch.stack([h, h], -1)
    return vectors(h, x, "weight", "weight")
