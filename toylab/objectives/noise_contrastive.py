"""Noise-contrastive estimation: learn a density by telling its samples from those of a density that is known."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.remembered import remembered
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.objectives.inputs import check_energy, require_density
from toylab.score import EnergyScore


@dataclass(frozen=True)
class NoiseContrastive:
    """-log h(x) - sum over y_1 .. y_r of log(1 - h(y_j)), with h = exp(-E) / (exp(-E) + r q) and y_j drawn from q.

    h(x) is the probability that a point is one of the data and not one of the r times as many draws from the noise q,
    if exp(-E) were the density of the data. The minimiser is E = -log p with its constant: exp(-E) comes out normalised
    although nothing normalises it, if the constant of E is a weight, as is the last bias of ``EnergyMLP``. Away from
    the minimum the gradient is that of maximum likelihood with a weight,

        int (exp(-E) - p) w grad_theta(-E) dx,    w = r q / (exp(-E) + r q):

    blind where q is small; with w = 1, as r grows, it is the gradient of the mean of E over the data + int exp(-E),
    whose minimum is that of maximum likelihood. Source: Gutmann & Hyvarinen 2012 (JMLR 13, 307).

    Args:
        noise: q, a density; it must have mass wherever the data have, best of about their shape. Points outside are
            refused; on a GPU, where no value is read, their loss is 0.
        ratio: r, draws of noise for each point.
    """

    noise: Density
    ratio: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.noise, Density):
            raise TypeError(
                f"noise is a {type(self.noise).__name__}: give a density, such as isotropic([[0, 0]], 6.0)."
            )
        try:
            self.noise.log_prob(torch.zeros(1, 2, dtype=self.noise.dtype, device=self.noise.device))
        except validate.NoDensity:
            raise ValueError(
                f"noise is {short(self.noise)}, which lies on points or on a curve and has no density to tell the data "
                "from: give one that has, such as noise.noised(0.5) or isotropic([[0, 0]], 6.0)."
            ) from None
        vars(self).update(ratio=validate.count("ratio", self.ratio))

    def __call__(self, score: EnergyScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        energy, noise = check_energy(score, x, generator), _where(self.noise, x.dtype, x.device)
        y = noise.sample((self.ratio, *x.shape[:-1]), generator=generator)

        def log_odds(x: Tensor, log_q: Tensor) -> Tensor:
            return -energy(x) - log_q - math.log(self.ratio)

        of_data = _where_it_has_mass(noise.log_prob(x), x)
        return softplus(-log_odds(x, of_data)) + softplus(log_odds(y, noise.log_prob(y))).sum(0)

    def offset(self, density: Density) -> float:
        """Minus the mean loss of E = -log p, by quadrature.

        Mean loss + offset is (1 + r) times the mean Kullback-Leibler divergence between the two answers to the question
        whether a point is noise, that of the truth and the model's.
        """
        require_density(density)

        def log_odds(x: Tensor) -> Tensor:
            return density.log_prob(x) - self.noise.log_prob(x) - math.log(self.ratio)

        of_data = expectation(lambda x: softplus(-log_odds(x)), density)
        return -of_data - self.ratio * expectation(lambda x: softplus(log_odds(x)), self.noise)


def _where_it_has_mass(log_q: Tensor, x: Tensor) -> Tensor:
    """log q at the data x, or raise ``ValueError`` where it is -inf: nothing is learned there."""
    if validate.readable(log_q) and bool((outside := log_q == -math.inf).any()):
        first = ", ".join(f"{entry:.4g}" for entry in x[outside][0].tolist())
        raise ValueError(
            f"noise has no mass at {int(outside.sum())} of {outside.numel()} points, the first being ({first}): "
            "nothing is learned where no draw can be mistaken for data. Give one with mass wherever they have, such as "
            "isotropic([[0, 0]], 6.0)."
        )
    return log_q


@remembered(16)
def _where(noise: Density, dtype: torch.dtype, device: torch.device) -> Density:
    """The noise where the points are: moving it there at every step is slow, and no CUDA graph can hold it."""
    with torch.inference_mode(False):
        return noise.to(torch.empty(0, dtype=dtype, device=device))
