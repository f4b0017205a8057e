"""How far the gradient of an estimator is from that of maximum likelihood, which is known exactly here."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab._internal.uncalled import refuse_class, refuse_function
from toylab.densities.density import Density
from toylab.densities.energy import box_nodes
from toylab.objectives.inputs import check_energy
from toylab.objectives.objective import Objective
from toylab.training.gradient_noise import batch_gradients
from toylab.training.result import Network

_MOST_UNSEEN = 1e-4  # mass of the data that may be off the box, or lost between its nodes


def log_likelihood_gradient(
    network: nn.Module, density: Density, extent: Sequence[float], *, n_cells: int = 64
) -> dict[str, Tensor]:
    """The exact gradient of E log q(X), X ~ p, for the model q = exp(-E) / Z on a box, by quadrature in float64.

        grad_theta E_p log q = int (q - p) grad_theta E dx

    A model is at its best where it vanishes. It points uphill: a loss that stands for -log q has minus this gradient.

    Args:
        network: the model, a module with ``energy(x)``; it is left as it is.
        density: p, with its mass on the box; it may be noised.
        extent: the box: (left, right, bottom, top).
        n_cells: cells along each axis, with 4 x 4 Gauss-Legendre nodes each.

    Returns:
        The gradient by each parameter, by name, in float64.

    Raises:
        ValueError: if the nodes do not see the mass of the density, to 1e-4.
    """
    refuse_class("network", network)
    if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
        raise TypeError(
            f"network is a {type(network).__name__} without parameters: give a module with an energy, EnergyMLP()."
        )
    refuse_function("density", density)
    if not isinstance(density, Density):
        raise TypeError(f"density is a {type(density).__name__}: give a density, such as two_modes().")
    box = validate.extent("extent", extent)
    n_cells = validate.count("n_cells", n_cells, least=2)
    model: Any = copy.deepcopy(network).cpu().double().requires_grad_()  # in this order: Apple's GPU has no float64
    x, weights = box_nodes(box, n_cells)
    p = density.to(x).log_prob(x).exp() * weights
    if not abs(float(p.sum()) - 1) < _MOST_UNSEEN:
        raise ValueError(
            f"the nodes see a mass of {float(p.sum()):.6g} of the density, on extent={box} with n_cells={n_cells}: "
            "give a larger extent, or more cells."
        )
    with torch.enable_grad():
        energy = check_energy(model, x, None)(x)
        q = (weights.log() - energy.detach()).softmax(0)
        parts = torch.autograd.grad(((q - p) * energy).sum(), list(model.parameters()), allow_unused=True)
    names = [name for name, _ in model.named_parameters()]
    return {
        name: torch.zeros_like(w) if part is None else part
        for name, part, w in zip(names, parts, model.parameters(), strict=True)
    }


@dataclass(frozen=True)
class GradientBias:
    """The expected gradient g of an objective beside the gradient h of -E log q, which maximum likelihood follows.

    Attributes:
        along: (g . h) / |h|^2: 1 if g is as long as it should be along h; less, if it is too short; below 0, if it
            leads uphill.
        along_error: its standard error.
        squared: |g - h|^2 / |h|^2, 0 for no bias; the noise of the batches is subtracted, so that the estimate may be
            below 0 by chance.
        squared_error: its standard error.
        length: |h|.
    """

    along: float
    along_error: float
    squared: float
    squared_error: float
    length: float

    def __repr__(self) -> str:
        return text_table("GradientBias", self._summary())

    def _repr_html_(self) -> str:
        return html_table(self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        return [
            ("along the exact gradient", f"{self.along:.4g} ± {self.along_error:.2g} of it"),
            ("squared bias", f"{self.squared:.4g} ± {self.squared_error:.2g} of its square"),
            ("exact gradient", f"{self.length:.4g} long"),
        ]


def gradient_bias(
    network: Network,
    objective: Objective[Network],
    density: Density,
    extent: Sequence[float],
    *,
    n_cells: int = 64,
    batch_size: int = 256,
    n_batches: int = 64,
    generator: torch.Generator | None = None,
) -> GradientBias:
    """The bias of an objective's gradient against that of maximum likelihood, at the weights of a network.

    Args:
        network: a module with ``energy(x)``; it is left as it is.
        objective: as for ``fit``. ``MaximumLikelihood`` has no bias.
        density: p, what the batches are drawn from.
        extent: the box on which the model is normalised, as in ``log_likelihood_gradient``.
        n_cells: cells along each axis.
        batch_size: points per batch.
        n_batches: R, at least 4 independent batches. Persistent chains start in each from where the network has them.
        generator: source of randomness; None is torch's global stream.
    """
    n_batches = validate.count("n_batches", n_batches, least=4)
    parts = log_likelihood_gradient(network, density, extent, n_cells=n_cells)
    h = -torch.cat([part.flatten() for part in parts.values()])
    g = batch_gradients(network, objective, density, batch_size, n_batches, generator).double().cpu()
    square, off = h.square().sum(), g - h
    along = g @ h / square
    others = off.sum(0) - off  # of the other batches: the products have mean |g - h|^2, without the noise of one
    products = (off * others).sum(1) / ((n_batches - 1) * square)
    root = n_batches**0.5
    return GradientBias(
        float(along.mean()), float(along.std()) / root,
        float(products.mean()), 2 * float(products.std()) / root,
        float(square.sqrt()),
    )  # fmt: skip
