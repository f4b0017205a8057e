"""Maximum likelihood of an energy whose normaliser is known, by quadrature on a box."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.remembered import remembered
from toylab.densities.density import Density
from toylab.densities.energy import box_nodes
from toylab.densities.quadrature import expectation
from toylab.objectives.inputs import check_energy, require_density
from toylab.score import EnergyScore

_NEGLIGIBLE = 60.0  # nats below the node of greatest mass


@dataclass(frozen=True)
class MaximumLikelihood:
    """-log p(x) = E(x) + log Z of the model p = exp(-E) / Z on a box, Z = int exp(-E) by quadrature; inf outside.

    Its gradient is the mean of grad_theta E over the data less that over the model, exactly: what contrastive
    divergence estimates by chains. Z costs 16 n_cells^2 evaluations of E at each step, whatever the batch, and is that
    of ``EnergyMLP.density(extent, n_cells=n_cells)``. All data must lie on the box: the model has no mass elsewhere.

    Args:
        extent: the box: (left, right, bottom, top).
        n_cells: cells along each axis, with 4 x 4 Gauss-Legendre nodes each; a cell may be about as wide as the
            narrowest mode (one standard deviation: log Z to 1e-6).
    """

    extent: tuple[float, float, float, float]
    n_cells: int = 32

    def __post_init__(self) -> None:
        vars(self).update(extent=validate.extent("extent", self.extent))
        vars(self).update(n_cells=validate.count("n_cells", self.n_cells, least=2))

    def __call__(self, score: EnergyScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]. Draws nothing."""
        energy = check_energy(score, x, generator)
        nodes, log_weights = _nodes(self.extent, self.n_cells, x.dtype, x.device)
        nodes = nodes.expand(*x.shape[:-2], *nodes.shape)  # for each of several networks
        log_masses = log_weights - energy(nodes)
        # without those whose part of Z is lost in rounding: their slopes would be denormal numbers, which are slow
        lost = log_masses < log_masses.amax(-1, keepdim=True) - _NEGLIGIBLE
        log_masses = log_masses.masked_fill(lost, -math.inf)
        log_z = log_masses.logsumexp(-1, keepdim=True)
        left, right, bottom, top = self.extent
        inside = (x[..., 0] >= left) & (x[..., 0] <= right) & (x[..., 1] >= bottom) & (x[..., 1] <= top)
        return torch.where(inside, energy(x) + log_z, math.inf)

    def offset(self, density: Density) -> float:
        """E log p(X), minus the entropy, by quadrature: mean loss + offset = KL(p || model)."""
        return expectation(require_density(density).log_prob, density)


@remembered(16)
def _nodes(
    extent: tuple[float, float, float, float], n_cells: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Nodes [n, 2] and the logarithms of their weights [n], where the points are."""
    with torch.inference_mode(False):
        x, weights = box_nodes(extent, n_cells)
        return x.to(dtype=dtype, device=device), weights.log().to(dtype=dtype, device=device)
