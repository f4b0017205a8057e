"""Flow matching: a velocity learned from the derivatives of paths between noise and data."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.polynomial import chebyshev
from torch import Tensor

from toylab._internal import fields, validate
from toylab._internal.warn import warn
from toylab.densities.density import Density
from toylab.objectives.inputs import check_inputs, require_density
from toylab.objectives.squares import half_squared_distance
from toylab.paths.coupling import Coupling, independent
from toylab.paths.draw import Draw, draw, require_path
from toylab.paths.interpolant import Interpolant
from toylab.paths.path import Path, VelocityField

_ERROR = 1e-6  # of the mean over t, relative, by its estimate
_MOST_NODES = 1024
_FIRST_LOOK, _USUAL_NODES, _LONG_WAIT = 8, 33, 30.0  # nodes after which a long wait, in seconds, is announced


@dataclass(frozen=True)
class FlowMatching:
    """1/2 |v(x_t, t) - x'_t|^2 on a path x_t from x_0 to the data, at a time t uniform on [0, 1) for each point.

    The half makes it the mean of the squared errors of the two coordinates. Its minimiser is the marginal velocity
    E[x'_t | x_t = x], that of ``path.velocity``; x'_t is not determined by x_t, so that the least loss is not 0 but
    minus the ``offset``. It is called with a velocity of x and t, such as ``networks.VelocityMLP()``.
    Source: Lipman et al. 2023 (arXiv:2210.02747), eq. 9; couplings: Tong et al. 2024 (arXiv:2302.00482).

    Along a ``paths.Interpolant``, x_t = I_t + gamma z, the mean of 1/2 |gamma' z|^2 may be infinite. There the loss is
    without that term, 1/2 |v(x_t, t) - I'_t|^2 - gamma' z . v(x_t, t), and it is averaged over z and -z, so that its
    variance is finite, too: two evaluations per point. Source: Albergo et al. 2023 (arXiv:2303.08797).

    Args:
        path: such as ``paths.Linear()``.
        coupling: which x_0 goes with which point: ``paths.independent``, or ``paths.optimal_transport`` of each batch.
    """

    path: Path | Interpolant
    coupling: Coupling = independent

    def __post_init__(self) -> None:
        require_path(self.path)
        validate.function("coupling", self.coupling, "paths.optimal_transport", takes=2)

    def __call__(self, velocity: VelocityField, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        velocity = check_inputs(velocity, x, generator, fields.VELOCITY, "velocity")
        here = draw(self.path, x, coupling=self.coupling, generator=generator)
        if isinstance(self.path, Interpolant):
            return _of_both_signs(self.path, velocity, here)
        return half_squared_distance(velocity(here.x, here.t), here.target)

    def offset(self, density: Density) -> float:
        """Minus the irreducible loss, by quadrature over t and x: mean loss + offset is the mean of 1/2 |v - v*|^2.

        It is right to about 1e-6 of itself: mostly in seconds from N(0, I), or from one Gaussian; from several
        Gaussians to a curve, or to a density that is no mixture of Gaussians, it may take a minute or some, to the
        spiral an hour. What takes half a minute or longer is announced by a warning.

        Raises:
            ValueError: if the coupling is not independent, as the exact velocity is then not known, where the path does
                not know its own (see its ``irreducible``), before any work if that is due to source and density
                together, and if the mean over t does not exist.
        """
        require_density(density)
        if self.coupling is not independent:
            raise ValueError(
                "the offset is known for coupling=independent alone: with another coupling the velocity to be learned "
                "depends on the size of the batch."
            )
        return -_mean_over_time(lambda t: self.path.irreducible(density, t))


def _of_both_signs(path: Interpolant, velocity: VelocityField, here: Draw) -> Tensor:
    """1/2 |v - I'_t|^2 - gamma' z . v, its mean over z and -z, shape [n]."""
    drawn = cast(Tensor, here.z)
    z, without = torch.stack([drawn, -drawn]), path.path.derivative(here.x0, here.x1, here.t)
    x = path.path.point(here.x0, here.x1, here.t) + path.gamma(here.t)[:, None] * z
    v = velocity(x.flatten(0, 1), here.t.repeat(2)).view_as(x)
    pushed = path.gamma_rate(here.t)[:, None] * drawn * (v[0] - v[1])
    return half_squared_distance(v, without.expand_as(v)).mean(0) - 0.5 * pushed.sum(-1)


def _mean_over_time(f: Callable[[float], float]) -> float:
    """int_0^1 f(t) dt by Clenshaw-Curtis at 4, 8, 16 .. nodes, each among the next, until the error is small."""
    known: dict[float, float] = {}
    n, before, total, error = 4, math.nan, math.nan, math.inf
    start = time.perf_counter()
    while not error <= _ERROR * abs(total):
        if n > _MOST_NODES:
            raise ValueError(
                f"the mean of the irreducible loss over t is {total:.3g} with {n // 2} nodes and {before:.3g} with "
                f"{n // 4}: it may not exist, or lie too near the end of the path. Let alpha and sigma of the path "
                "have finite derivatives on [0, 1], and give data that are no narrower than a hundredth of the source."
            )
        nodes = np.cos(np.pi * np.arange(n + 1) / n)
        for node in nodes.tolist():
            if node not in known:
                known[node] = f(0.5 * (1 + node))
        wait = (time.perf_counter() - start) / len(known) * _USUAL_NODES
        if n == _FIRST_LOOK and wait > _LONG_WAIT:
            warn(f"the irreducible loss is taken at about {_USUAL_NODES} times, which takes some {wait:.0f} s.")
        series = chebyshev.chebfit(nodes, [known[node] for node in nodes.tolist()], n)
        before, total = total, 0.5 * float(series @ _integrals(np.arange(n + 1)))
        if n >= _FIRST_LOOK:
            error = 0.5 * _error(series)
        n *= 2
    return total


def _error(series: np.ndarray) -> float:
    """What the Chebyshev series through n + 1 nodes may lack of the integral of f over [-1, 1].

    At the nodes T_k, n < k <= 2n, is T_2n-k, so that the coefficient of f at k counts by the difference of their
    integrals. These coefficients are not known. They are taken for no more than the power of k by which the largest
    of an octave has fallen to the largest of the next: those of a smooth function fall faster with each octave, those
    of one with a root at an end of [0, 1] or a kink by a power.
    """
    n = len(series) - 1
    size = np.abs(series)
    earlier, largest = size[n // 4 + 1 : n // 2 + 1].max(), size[n // 2 + 1 :].max()
    falls = min(largest / max(earlier, math.ulp(0.0)), 1.0)
    k = np.arange(n + 1, 2 * n + 1)
    bound = largest * falls ** np.log2(2 * k / n)  # the largest of an octave may have been its first
    return float(bound @ np.abs(_integrals(k) - _integrals(2 * n - k)))


def _integrals(k: np.ndarray) -> np.ndarray:
    """int T_k over [-1, 1]."""
    return np.where(k % 2 == 0, 2 / (1 - np.square(k, dtype=float) + (k % 2)), 0.0)
