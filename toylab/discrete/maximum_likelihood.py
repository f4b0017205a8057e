"""Maximum likelihood: what all other estimators are measured by, and the only one that needs Z."""

from torch import Tensor

from toylab.discrete.boltzmann_machine import BoltzmannMachine, check_machine


def maximum_likelihood(machine: BoltzmannMachine, x: Tensor) -> Tensor:
    """-log p(x), shape [...], for spins x [..., n]; it costs 2^n.

    Its mean under a law q less that of q itself is KL(q || p); the gradient is the difference of the statistics,
    E_p[x_i x_j] - E_q[x_i x_j] for W_ij.
    """
    return -check_machine("machine", machine).log_prob(x)
