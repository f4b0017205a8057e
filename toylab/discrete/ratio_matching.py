"""Ratio matching: the score matching of binary data."""

from torch import Tensor

from toylab.discrete.boltzmann_machine import BoltzmannMachine, check_machine


def ratio_matching(machine: BoltzmannMachine, x: Tensor) -> Tensor:
    """sum_i g(p(x) / p(x with spin i turned over))^2 with g(u) = 1 / (1 + u), shape [...], for spins x [..., n].

    g is 1 - p(x_i | others), the conditional probability of the spin that was not seen. So the mean under a law q less
    that of q itself is sum_i E (q(x_i | others) - p(x_i | others))^2: the Brier score of the conditionals.
    Source: Hyvarinen 2007, "Some extensions of score matching", the binary case.
    """
    return (-check_machine("machine", machine).log_odds(x)).sigmoid().square().sum(-1)
