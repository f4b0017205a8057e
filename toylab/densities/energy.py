"""Densities given by an energy: exp(-E) / Z on a box."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import categorical, uniform
from toylab._internal.warn import warn
from toylab.densities.density import Density
from toylab.densities.given import Measurement, measurement
from toylab.densities.parameters import Matrix, Vector

_CHUNK = 1 << 18  # points at which an energy is evaluated at once
_MOST_REPEATS = 1000  # of draws in a cell that a wall cuts
_CAUTION = 4.0  # along the diagonals of cells all three rules err alike: by three times as much as they differ
_WORTH_A_WARNING = 1.0  # error of log Z
_NEGLIGIBLE = 1e-24  # a cell of such probability is left out of expectations

Rule = tuple[Tensor, Tensor]  # nodes and weights on [-1, 1]


def _gauss(n: int) -> Rule:
    t, w = np.polynomial.legendre.leggauss(n)
    return torch.as_tensor(t, device="cpu"), torch.as_tensor(w, device="cpu")


_GAUSS_4, _GAUSS_3 = _gauss(4), _gauss(3)
_JUST_INSIDE = 1 - 1e-9  # of a cell's sides, where a wall along a side of the cell is not yet seen
_LOBATTO_4: Rule = (
    torch.tensor([-_JUST_INSIDE, -(0.2**0.5), 0.2**0.5, _JUST_INSIDE], dtype=torch.float64, device="cpu"),
    torch.tensor([1, 5, 5, 1], dtype=torch.float64, device="cpu") / 6,
)


@dataclass(frozen=True, eq=False, repr=False)
class FromEnergy(Density):
    """p(x) = exp(-E(x)) / Z on a box and 0 outside, Z by quadrature; made by ``from_energy``.

    Z is summed over ``n_cells`` x ``n_cells`` cells with 4 x 4 Gauss-Legendre nodes each. A draw is a cell by its mass,
    then a point in it by the inverse CDF of the bilinear interpolant of p. Only the clean law is known: sigma > 0 is
    refused with a ``ValueError``. Score and divergence come by automatic differentiation of E.

    Attributes:
        energy: E, maps points [..., 2] to energies [...].
        extent: the box: (left, right, bottom, top).
        n_cells: cells along each axis.
        log_normaliser: log Z.
        normaliser_error: a cautious estimate of the error of log Z: four times its distance from what two other rules
            give, 3 x 3 Gauss-Legendre and 4 x 4 Gauss-Lobatto nodes; cells that a wall cuts, where E jumps to infinity,
            add up theirs one by one. Wherever a wall crosses a cell, one of the three rules sees it. Kinks and walls do
            no harm along the sides of cells, and their error falls as ``n_cells`` rises. It is inf where p is narrower
            than a cell, so that the rules do not agree at all.
        sampling_error: total variation distance between the law of the draws and p, by the same quadrature.
    """

    energy: Callable[[Tensor], Tensor]
    extent: tuple[float, float, float, float]
    n_cells: int = 256
    log_normaliser: float = field(init=False)
    normaliser_error: float = field(init=False)
    sampling_error: float = field(init=False)
    _masses: Tensor = field(init=False)
    _corner_heights: Tensor = field(init=False)
    _has_cut_cells: bool = field(init=False)

    def __post_init__(self) -> None:
        validate.function("energy", self.energy, "lambda x: x.square().sum(-1) / 2")
        validate.score("energy", self.energy, remedy="give a function of points [n, 2] alone")
        vars(self).update(n_cells=validate.count("n_cells", self.n_cells, least=2))
        vars(self).update(extent=validate.extent("extent", self.extent))
        log_terms = self._log_terms(_GAUSS_4)
        log_z = float(log_terms.flatten().logsumexp(0))
        masses = (log_terms - log_z).exp().sum((-2, -1))  # [n_cells, n_cells]
        others = [self._log_terms(rule) for rule in (_GAUSS_3, _LOBATTO_4)]
        errors = torch.stack([masses - (other - log_z).exp().sum((-2, -1)) for other in others])  # of each
        cut = torch.cat([part.isinf().flatten(-2) for part in (log_terms, *others)], -1).any(-1)
        corners = self._corners(log_z)
        vars(self).update(
            log_normaliser=log_z,
            normaliser_error=_of_the_log(
                _CAUTION * float(errors[:, ~cut].sum(-1).abs().amax() + errors[:, cut].abs().amax(0).sum())
            ),
            sampling_error=self._distance(corners, masses, (log_terms - log_z).exp()),
            _masses=masses,
            _corner_heights=corners,
            _has_cut_cells=bool((cut & (masses > 0)).any()),
            _held=frozenset({"_masses", "_corner_heights"}),
        )
        if self.normaliser_error > _WORTH_A_WARNING:
            warn(
                f"log_normaliser is known to {self.normaliser_error:.2g} only: the law varies much within a cell of "
                f"n_cells={self.n_cells}. Give a smaller extent, about its mass, or more cells."
            )

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-E(x) - log Z in the box and -inf outside, shape [...]; ``ValueError`` for sigma > 0."""
        validate.only_clean(sigma, x, "a density given by its energy")
        return torch.where(self._inside(x), -self.energy(x) - self.log_normaliser, -math.inf)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-grad E(x) in the box and nan outside, shape [..., 2]; ``ValueError`` for sigma > 0."""
        return torch.where(self._inside(validate.points("x", x))[..., None], super().score(x, sigma), math.nan)

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-div grad E(x) in the box and nan outside, shape [...]; ``ValueError`` for sigma > 0."""
        return torch.where(self._inside(validate.points("x", x)), super().divergence(x, sigma), math.nan)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """By inverse CDF on the grid; ``sampling_error`` is its distance from p.

        In a cell that a wall cuts, a draw from beyond the wall, where p is 0, is repeated.
        """
        cell = categorical(self._on_its_device("_masses").flatten(), sample_shape, generator=generator).cpu()
        x = self._draw_in(cell, generator)
        for _ in range(_MOST_REPEATS if self._has_cut_cells else 0):
            with torch.no_grad():
                beyond = self.log_prob(x) == -math.inf
            if not beyond.any():
                break
            x[beyond] = self._draw_in(cell[beyond], generator)
        return x.to(dtype=self.dtype, device=self.device)

    def _draw_in(self, cell: Tensor, generator: torch.Generator | None) -> Tensor:
        """A draw in each of the cells [...] by the bilinear interpolant of its corners, [..., 2] in float64."""
        n = self.n_cells
        i, j = cell // n, cell % n
        u = uniform((*cell.shape, 2), dtype=torch.float64, device=torch.device("cpu"), generator=generator)
        f00, f01, f10, f11 = self._corner_heights[:, i, j]
        s = _ramp(u[..., 0], f00 + f01, f10 + f11)
        t = _ramp(u[..., 1], f00 + s * (f10 - f00), f01 + s * (f11 - f01))
        left, right, bottom, top = self.extent
        return torch.stack([left + (right - left) * (i + s) / n, bottom + (top - bottom) * (j + t) / n], -1)

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> "FromEnergy":
        """The law of energy E(x) + |y - A x|^2 / (2 noise^2), on the same box and cells.

        Cells wider than the noise do not resolve the likelihood: its ``normaliser_error`` says so.
        """
        energy = _Measured(self.energy, measurement(A, y, noise))
        return FromEnergy(energy, self.extent, self.n_cells).to(self.device, self.dtype)

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:
        """log p(y), from the normalisers of both laws."""
        return self.given(A, y, noise).log_normaliser - self.log_normaliser

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The box; ``ValueError`` for sigma > 0."""
        low, high = (torch.tensor(self.extent[k::2], dtype=torch.float64, device="cpu") for k in (0, 1))
        validate.only_clean(sigma, low, "a density given by its energy")
        return low, high

    def length_scale(self, sigma: float = 0.0) -> float:
        """Three sides of a cell: p is taken to vary no faster than its grid resolves."""
        low, high = self.bounds(sigma)
        return 3 * float((high - low).min()) / self.n_cells

    def nodes(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The quadrature that gives Z, in parts: points [n, 2], and the probability that each stands for, [n].

        sum_i p_i f(x_i) over all parts is E f(X), right for kinks and walls along the sides of cells. Cells without
        mass are left out.
        """
        x, weights = self._nodes(_GAUSS_4)
        with_mass = self._masses > _NEGLIGIBLE
        for part in x[with_mass].split(_CHUNK // 16):
            yield part.reshape(-1, 2), (self.log_prob(part).exp() * weights).flatten()

    def _inside(self, x: Tensor) -> Tensor:
        left, right, bottom, top = self.extent
        x1, x2 = x.unbind(-1)
        return (x1 >= left) & (x1 <= right) & (x2 >= bottom) & (x2 <= top)

    def _nodes(self, rule: Rule) -> tuple[Tensor, Tensor]:
        return _cell_nodes(self.extent, self.n_cells, rule)

    def _log_terms(self, rule: Rule) -> Tensor:
        """The logarithms of the terms that add up to Z, [n_cells, n_cells, k, k]."""
        x, weights = self._nodes(rule)
        return self._log_heights(x) + weights.log()

    def _log_heights(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            heights = -torch.cat([self._energies(part) for part in x.reshape(-1, 2).split(_CHUNK)])
        if bool(heights.isnan().any()) or not bool((heights < math.inf).all()):
            raise ValueError("energy is nan or -inf somewhere on extent: it must be a number, or +inf where p is 0.")
        if not bool(heights.isfinite().any()):
            raise ValueError("energy is +inf all over extent: there is no mass on the box. Choose another extent.")
        return heights.double().reshape(x.shape[:-1])

    def _energies(self, x: Tensor) -> Tensor:
        """The energies [n] of points [n, 2], or an error if they are anything else."""
        found = self.energy(x)
        if not isinstance(found, Tensor):
            raise TypeError(f"energy gave a {type(found).__name__}: it must map points [n, 2] to a tensor [n].")
        if not found.dtype.is_floating_point or found.shape != x.shape[:1]:
            raise ValueError(
                f"energy gave shape {list(found.shape)}, dtype {found.dtype} for {len(x)} points: it must map points "
                "[n, 2] to energies [n]."
            )
        if found.device != x.device:
            raise ValueError(f"energy gave values on {found.device} for points on {x.device}: leave them where x is.")
        return found

    def _corners(self, log_z: float) -> Tensor:
        """Heights of p at the corners of each cell [4, n_cells, n_cells], in the order 00, 01, 10, 11."""
        low, high = self.bounds()
        steps = torch.arange(self.n_cells + 1, dtype=torch.float64, device="cpu")[:, None] / self.n_cells
        first, second = (low + (high - low) * steps).unbind(-1)
        heights = (self._log_heights(torch.stack(torch.meshgrid(first, second, indexing="ij"), -1)) - log_z).exp()
        heights = heights.clamp(min=torch.finfo(heights.dtype).tiny)
        return torch.stack([heights[i : i + self.n_cells, j : j + self.n_cells] for i in (0, 1) for j in (0, 1)])

    @staticmethod
    def _distance(corners: Tensor, masses: Tensor, terms: Tensor) -> float:
        """1/2 sum |p - q| over the nodes, for the law q of the draws; terms are p times the weights."""
        t, w = 0.5 * (_GAUSS_4[0] + 1), _GAUSS_4[1]
        f00, f01, f10, f11 = corners[..., None, None]
        s = t[:, None]
        interpolant = (1 - s) * ((1 - t) * f00 + t * f01) + s * ((1 - t) * f10 + t * f11)
        drawn = torch.where(terms > 0, interpolant * w[:, None] * w, 0.0)  # none is beyond a wall
        drawn *= (masses / drawn.sum((-2, -1)).clamp(min=torch.finfo(drawn.dtype).tiny))[..., None, None]
        return 0.5 * float((drawn - terms).abs().sum())


@dataclass(frozen=True)
class _Measured:
    """E(x) - log N(y; A x, noise^2 I)."""

    energy: Callable[[Tensor], Tensor]
    of: Measurement

    def __call__(self, x: Tensor) -> Tensor:
        return self.energy(x) - self.of.log_likelihood(x)


def from_energy(energy: Callable[[Tensor], Tensor], extent: Sequence[float], *, n_cells: int = 256) -> FromEnergy:
    """The law exp(-E(x)) / Z on a box, with Z by quadrature.

    The result says how accurate it is: ``normaliser_error`` of ``log_normaliser``, and ``sampling_error``, the total
    variation distance between p and the law that ``sample`` draws from. Only its clean law is known.

    E may have kinks, such as |x| and max(..), and walls, where it is inf. Both are integrated to rounding where they
    run along the sides of cells: choose ``extent`` and ``n_cells`` so that they do, or else more cells.

    Args:
        energy: E, maps points [..., 2] to energies [...]; log p = -E - log Z.
        extent: the box, outside which p is 0: (left, right, bottom, top).
        n_cells: cells along each axis of the grid on which Z is summed and draws are made.

    Raises:
        ValueError: for an empty box, or an energy that is nan or of the wrong shape on it.

    >>> p = from_energy(lambda x: x.square().sum(-1) / 2, (-9, 9, -9, 9))
    >>> round(p.log_normaliser, 9) == round(math.log(2 * math.pi), 9), p.sampling_error < 2e-3
    (True, True)
    """
    return FromEnergy(energy, validate.extent("extent", extent), n_cells)


def box_nodes(extent: Sequence[float], n_cells: int) -> tuple[Tensor, Tensor]:
    """The nodes [n, 2] on which ``from_energy`` sums Z, 16 to a cell, and their weights [n], float64."""
    x, weights = _cell_nodes(extent, n_cells, _GAUSS_4)
    return x.reshape(-1, 2), weights.expand(x.shape[:-1]).flatten()


def _cell_nodes(extent: Sequence[float], n_cells: int, rule: Rule) -> tuple[Tensor, Tensor]:
    """Nodes [n_cells, n_cells, k, k, 2] of all cells, and their weights [k, k], by a rule of k nodes on [-1, 1]."""
    (t, w), order = rule, len(rule[0])
    place = (torch.arange(n_cells, device="cpu")[:, None] + 0.5 * (t + 1)) / n_cells
    left, right, bottom, top = extent
    first, second = left + (right - left) * place, bottom + (top - bottom) * place
    shape = (n_cells, n_cells, order, order)
    x = torch.stack([first[:, None, :, None].expand(shape), second[None, :, None, :].expand(shape)], -1)
    return x, w[:, None] * w * ((right - left) * (top - bottom) / (2 * n_cells) ** 2)


def _of_the_log(error: float) -> float:
    """How far log Z may be off if Z is, relative to itself: log(Z - Z error) at the worst."""
    return -math.log1p(-error) if error < 1 else math.inf


def _ramp(u: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Inverse CDF at u of the law on [0, 1] whose density is linear from a to b (times a constant)."""
    return u * (a + b) / (a + (a**2 + u * (b**2 - a**2)).clamp(min=0).sqrt())
