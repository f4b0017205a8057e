"""Pseudo-likelihood: the product of the conditionals in place of the likelihood."""

from torch import Tensor
from torch.nn.functional import softplus

from toylab.discrete.boltzmann_machine import BoltzmannMachine, check_machine


def pseudo_likelihood(machine: BoltzmannMachine, x: Tensor) -> Tensor:
    """-sum_i log p(x_i | all other spins), shape [...], for spins x [..., n]: n logistic regressions, no Z.

    Its mean under a law q less that of q itself is sum_i E KL(q(x_i | others) || p(x_i | others)).
    Source: Besag 1975, "Statistical analysis of non-lattice data".
    """
    return softplus(-check_machine("machine", machine).log_odds(x)).sum(-1)
