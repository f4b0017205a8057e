"""What a flow-matching loss stands for: a path into a density, and fields to disturb the exact velocity with.

The exact velocity is also cut to stretches of time, 0 outside of them: slope and curvature along it then tell of these
times alone, whatever the loss is and at however many times it asks for the velocity of one point.
"""

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import Density
from toylab.objectives.levels import Weight, weights_at
from toylab.paths import Interpolant, Path, VelocityField, draw
from toylab.testing.truth import FIRST, SECOND, SWIRL, fields

VELOCITY = "v*"
UNEVEN_VELOCITY = "tanh(x1 + x2) v*"  # sees a multiple of the velocity that is not the same everywhere
TO_THE_RIGHT, UPWARDS = "(1, 0)", "(0, 1)"  # see a constant in the target
OTHER_FIELDS = (FIRST, SECOND, SWIRL, UNEVEN_VELOCITY, TO_THE_RIGHT, UPWARDS)

_N_STRETCHES = 4
_N_POINTS = 20_000  # from which the stretches are found: any would do, and these are near the best
_MOST_KEPT = 8  # calls of the exact velocity: as many as a loss may make, with the same random numbers at every call


class VelocityTruth:
    """The exact velocity of a path into a density, and points of that path.

    Attributes:
        name: of the exact velocity.
        stretches: of time, (from, to), which have as much of E w 1/2 |v*|^2 each.

    Args:
        path: whose velocity is to be learned.
        density: the law of x_1.
        weight: what the squared error is multiplied by, a positive number or a function of the time; None is 1.
    """

    name = VELOCITY

    def __init__(self, path: Path | Interpolant, density: Density, weight: Weight | None) -> None:
        self.path = path
        self.density = density
        self.weight: Weight = 1.0
        if callable(weight):
            self.weight = validate.function("weight", weight, "lambda t: (1 - t)**2")
        elif weight is not None:
            self.weight = validate.positive("weight", weight)
        self._kept: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=_MOST_KEPT)
        t = (torch.arange(100, dtype=torch.float64, device="cpu") + 0.5) / 100
        if not bool((self.weights(t) > 0).all()):
            raise ValueError(
                f"weight is {float(self.weights(t).min()):.4g} at a time between 0 and 1: a loss that does not count "
                "cannot be checked there. Give a function that is positive, as lambda t: (1 - t)**2."
            )
        generator = torch.Generator().manual_seed(0)
        t, x = self.draw(density.to(torch.float64).sample((_N_POINTS,), generator=generator), generator)
        t, order = t.sort()
        grown = (self.weights(t) * self.exact(x[order], t).square().sum(-1)).cumsum(0)
        shares = torch.arange(1, _N_STRETCHES, dtype=t.dtype, device=t.device) / _N_STRETCHES
        inner = [round(float(edge), 3) for edge in t[torch.searchsorted(grown / grown[-1], shares)]]
        self.stretches = tuple(zip([0.0, *inner], [*inner, 1.0], strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the stretches."""
        return tuple(f"t from {low:g} to {high:g}" for low, high in self.stretches)

    def weights(self, t: Tensor) -> Tensor:
        """w at the times [n], shape [n]."""
        return torch.as_tensor(weights_at(self.weight, t), dtype=t.dtype, device=t.device).expand_as(t)

    def exact(self, x: Tensor, t: Tensor | float) -> Tensor:
        """v*(x, t), shape of x [..., 2]; remembered, since a loss asks for it at the same points again and again."""
        time = torch.as_tensor(t, device=x.device).to(x).expand(x.shape[:-1])
        for at, when, found in self._kept:
            if torch.equal(at, x) and torch.equal(when, time):
                return found
        found = self.path.velocity(self.density, x, time)
        if not found.requires_grad:
            self._kept.append((x.clone(), time.clone(), found))
        return found

    def within(self, stretch: int) -> VelocityField:
        """v* at the times of a stretch, and 0 at all others."""
        low, high = self.stretches[stretch]

        def field(x: Tensor, t: Tensor | float, /) -> Tensor:
            time = torch.as_tensor(t, device=x.device).to(x).expand(x.shape[:-1])
            inside = (time >= low) & ((time < high) | (high == 1))
            return torch.where(inside[..., None], self.exact(x, time), 0.0)

        return field

    def other(self, name: str) -> VelocityField:
        """The field of that name, a function of (x, t)."""

        def field(x: Tensor, t: Tensor | float, /) -> Tensor:
            if name in (TO_THE_RIGHT, UPWARDS):
                return x.new_tensor([1.0, 0.0] if name == TO_THE_RIGHT else [0.0, 1.0]).expand_as(x)
            if name == UNEVEN_VELOCITY:
                return x.sum(-1, keepdim=True).tanh() * self.exact(x, t)
            return fields(x, 0.0)[name]

        return field

    def directions(self) -> dict[str, VelocityField]:
        """All fields by name: v* within each stretch, and the others."""
        cut = {f"v*, {name}": self.within(k) for k, name in enumerate(self.names)}
        return cut | {name: self.other(name) for name in OTHER_FIELDS}

    def half_square(self, x1: Tensor, generator: torch.Generator) -> Callable[[VelocityField], Tensor]:
        """w 1/2 |f(x_t, t)|^2 [n] of a field f, at times and points that are drawn here once for all fields."""
        t, x = self.draw(x1, generator)
        weight = self.weights(t)
        return lambda f: 0.5 * weight * f(x, t).square().sum(-1)

    def draw(self, x1: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times [n], uniform, and points x_t [n, 2] of the path on ways to x1 [n, 2], which owe nothing to a loss."""
        here = draw(self.path, x1, generator=generator)
        return here.t, here.x
