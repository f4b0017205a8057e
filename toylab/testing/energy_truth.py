"""What a loss of an energy stands for: a law, and an energy that is -log p but for multiples of known functions.

E = -log p + a_0 (-log p) + a_1 phi_1 + a_2 phi_2 + a_3 phi_3 + c, with phi bounded and smooth, and all functions but
the 1 of c less their means under the law. At a = 0, c = 0 the mean gradient of a right loss vanishes along each of
them: 1 + a_0 is the temperature of the law, and c is free in a loss that does not know the constant of E, as likelihood
does not.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from toylab._internal.torch_private import in_transform
from toylab.densities import Density
from toylab.densities.quadrature import expectation
from toylab.objectives.objective import Objective
from toylab.testing.evidence import MULTIPLE, OTHER
from toylab.testing.formula import percent
from toylab.testing.gradient_evidence import ModelLosses
from toylab.testing.remembered import Remembered

LOG_P, CONSTANT = "log p", "a constant"
# u1 and u2 are the coordinates, centred and in units of the standard deviation of the law; the means are not 0
WAVE, SLOPE, TILT = "cos(u1 + 0.4)", "tanh(u2 + 0.5)", "sin(2 u1 - u2 + 1)"
DIRECTIONS = (LOG_P, WAVE, SLOPE, TILT, CONSTANT)
_SHIFTS = {WAVE: 0.4, SLOPE: 0.5, TILT: 1.0}


class EnergyTruth:
    """-log p of a law, and functions to disturb it with.

    Attributes:
        name: of the true energy.
        measure: the loss whose curvature is compared with.
        directions: names of the functions.
        carries: whether the loss moves the chains of the model, which is found out at its first call.

    Args:
        density: the law of the data.
        sigma: noise level of the law whose energy is to be learned.
    """

    name, measure, directions = "E = -log p", "-log p", DIRECTIONS

    def __init__(self, density: Density, sigma: float) -> None:
        self.carries = False
        self.density, self.sigma = density, sigma
        self.law = density if sigma == 0 else density.noised(sigma)
        _means(self.law)  # which says why, if the law has no density
        self._features, self._slopes = Remembered(self._features_at), Remembered(self._slopes_at)

    @property
    def exact(self) -> Tensor:
        """The coefficients of E = -log p, a = 0, shape [5]."""
        return torch.zeros(len(DIRECTIONS), dtype=torch.float64, device="cpu")

    @cached_property
    def variances(self) -> dict[str, float]:
        """Of each function under the law: the curvature of likelihood along it."""
        return {LOG_P: _deviations(self.law)[LOG_P] ** 2, WAVE: 1.0, SLOPE: 1.0, TILT: 1.0, CONSTANT: 0.0}

    @property
    def entropy(self) -> float:
        """The mean of -log p under the law."""
        return _means(self.law)[0]

    @cached_property
    def _sizes(self) -> Tensor:
        deviations = _deviations(self.law)
        return torch.tensor(
            [1.0, *(deviations[name] for name in (WAVE, SLOPE, TILT)), 1.0], dtype=torch.float64, device="cpu"
        )

    @cached_property
    def _shifts(self) -> Tensor:
        return torch.tensor([*_means(self.law), 0.0], dtype=torch.float64, device="cpu")

    def chains(self, n: int, seed: int) -> Tensor:
        """Persistent chains [n, 2] that have reached the law: draws of it."""
        return self.law.to(torch.float64).sample((n,), generator=torch.Generator().manual_seed(seed))

    @property
    def n_controls(self) -> int:
        """None of the data where the law learned is another, under noise."""
        return ((self.sigma == 0) + self.carries) * (len(DIRECTIONS) - 1)

    def controls(self, x: Tensor, seed: int) -> Tensor:
        """Means of the functions over the data, and over the starts of persistent chains."""
        clouds = [x] if self.sigma == 0 else []
        if self.carries:
            clouds.append(self.chains(len(x), seed))
        return torch.cat([x.new_empty(0), *(self.features(cloud)[:, :-1].mean(0) for cloud in clouds)])

    def goal(self, name: str) -> float:
        """The error of a coefficient that must be visible: 5 % in the multiple of log p."""
        return MULTIPLE if name == LOG_P else OTHER

    def told(self, visible: dict[str, float]) -> str:
        """In words what would have been seen."""
        other = max((slip for name, slip in visible.items() if name != LOG_P), default=0.0)
        free = "" if CONSTANT in visible else "; the constant of E is free"
        return (
            f"a multiple of log p that is {percent(visible.get(LOG_P, 0.0))} off would have been seen, and {other:.2g} "
            f"along another function of variance 1{free}"
        )

    def features(self, x: Tensor) -> Tensor:
        """-log p, the three bounded functions, of variance 1, each less its mean, and 1, shape [..., 5]; x [..., 2]."""
        return self._features(x)

    def slopes(self, x: Tensor) -> Tensor:
        """The gradients in x of all of them, shape [..., 2, 5]."""
        return self._slopes(x)

    def _features_at(self, x: Tensor) -> Tensor:
        return (_features(self.law, x) - self._shifts.to(x)) / self._sizes.to(x)

    def _slopes_at(self, x: Tensor) -> Tensor:
        middle, width = _place(self.law)
        u1, u2 = ((x - middle.to(x)) / width.to(x)).unbind(-1)
        wave, slope = -(u1 + _SHIFTS[WAVE]).sin(), 1 - (u2 + _SHIFTS[SLOPE]).tanh().square()
        tilt = (2 * u1 - u2 + _SHIFTS[TILT]).cos()
        zero = torch.zeros_like(u1)
        in_u = torch.stack([torch.stack([wave, zero, 2 * tilt], -1), torch.stack([zero, slope, -tilt], -1)], -2)
        in_x = in_u / width.to(x)[:, None]
        none = torch.zeros_like(x)[..., None]
        return torch.cat([-self.law.score(x)[..., None], in_x, none], -1) / self._sizes.to(x)


@dataclass(eq=False)
class Asked:
    """One call of an energy, or of its score.

    Attributes:
        score: whether it was the score.
        differentiated: whether it was the energy, at points that it is differentiated by.
        x: where, shape [..., 2], as it was then.
        value: what was given, to whose entries a gradient can be taken.
    """

    score: bool
    differentiated: bool
    x: Tensor
    value: Tensor


@dataclass(eq=False)
class Energy:
    """E = -log p + a . (functions), called as an objective calls it: ``model(x)`` is -grad E, ``model.energy(x)`` is E.

    Attributes:
        truth: -log p and the functions.
        a: coefficients, shape [5], to which gradients flow.
        n_chains: how many chains it carries.
        seed: of these.
        calls: what it was asked, kept if it is a list.
    """

    truth: EnergyTruth
    a: Tensor
    n_chains: int
    seed: int
    calls: list[Asked] | None = None

    @cached_property
    def chains(self) -> Tensor:
        """Persistent chains, shape [n_chains, 2], that have reached the law: draws of it."""
        return self.truth.chains(self.n_chains, self.seed)

    def energy(self, x: Tensor, /) -> Tensor:
        """E(x), shape [...], for points x [..., 2]."""
        features = self.truth.features(x)
        return self._kept(False, x, features @ self.a.to(x) + features[..., 0] + self.truth.entropy)

    def __call__(self, x: Tensor, /) -> Tensor:
        """-grad E, shape of x [..., 2]."""
        slopes = self.truth.slopes(x)
        return self._kept(True, x, -(slopes @ self.a.to(x) + slopes[..., 0]))

    def _kept(self, score: bool, x: Tensor, value: Tensor) -> Tensor:
        if self.calls is not None and not in_transform():  # of torch.func, whose tensors have no gradients of their own
            value = value if value.requires_grad else value.requires_grad_()
            self.calls.append(Asked(score, not score and x.requires_grad, x.detach().clone(), value))
        return value


def energy_losses(
    objective: Objective[Any], truth: EnergyTruth, network_of: Callable[..., Any] | None
) -> Callable[[int], ModelLosses]:
    """The losses by seed, with the same random numbers, and the same chains, at every call."""

    def with_seed(seed: int) -> ModelLosses:
        def traced(a: Tensor, x: Tensor) -> Tensor:
            return losses_of(objective, Energy(truth, a, len(x), seed), network_of, x, seed)

        return traced

    return with_seed


def losses_of(
    objective: Objective[Any], model: object, network_of: Callable[..., Any] | None, x: Tensor, seed: int
) -> Tensor:
    """The losses of one model."""
    with torch.enable_grad():
        return objective(
            model if network_of is None else network_of(model),
            x.detach(),
            generator=torch.Generator().manual_seed(seed),
        )


@dataclass(eq=False)
class _Probe:
    """-log p, and whether anybody asked for it."""

    law: Density
    chains: Tensor
    was_asked: bool = False

    def energy(self, x: Tensor, /) -> Tensor:
        self.was_asked = True
        return -self.law.log_prob(x)

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.law.score(x)


def asks_for_an_energy(
    objective: Objective[Any], density: Density, sigma: float, network_of: Callable[..., Any] | None
) -> bool:
    """Whether the loss asks for ``model.energy``, however the call ends."""
    x = density.to(torch.float64).sample((7,), generator=torch.Generator().manual_seed(0))
    probe = _Probe(density if sigma == 0 else density.noised(sigma), x.clone())
    # what it raises is found again, and reported, by the check that follows
    with contextlib.suppress(Exception):
        losses_of(objective, probe, network_of, x, 0)
    return probe.was_asked


def _features(law: Density, x: Tensor) -> Tensor:
    """-log p, the three functions as they are, and 1, shape [..., 5]."""
    middle, width = _place(law)
    u1, u2 = ((x - middle.to(x)) / width.to(x)).unbind(-1)
    wave, slope = (u1 + _SHIFTS[WAVE]).cos(), (u2 + _SHIFTS[SLOPE]).tanh()
    tilt = (2 * u1 - u2 + _SHIFTS[TILT]).sin()
    return torch.stack([-law.log_prob(x), wave, slope, tilt, torch.ones_like(u1)], -1)


@lru_cache(maxsize=64)
def _place(law: Density) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the coordinates, from 10,000 points: any would do, and these are near the best."""
    x = law.to(torch.float64).sample((10_000,), generator=torch.Generator().manual_seed(0))
    return x.mean(0), x.std(0)


@lru_cache(maxsize=64)
def _means(law: Density) -> tuple[float, ...]:
    """Of all functions but the constant, by quadrature."""
    return tuple(_mean(law, name) for name in DIRECTIONS[:-1])


@lru_cache(maxsize=64)
def _deviations(law: Density) -> dict[str, float]:
    """Standard deviations of all functions but the constant, by quadrature."""
    return {
        name: _mean(law, name, lambda values: values.square(), less=mean) ** 0.5
        for name, mean in zip(DIRECTIONS[:-1], _means(law), strict=True)
    }


def _mean(law: Density, name: str, of: Callable[[Tensor], Tensor] = torch.clone, less: float = 0.0) -> float:
    """E of(f(X) - less) under the law, for the function f of that name."""
    k = DIRECTIONS.index(name)
    return expectation(lambda x: of(_features(law, x)[..., k] - less), law)
