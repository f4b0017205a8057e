"""Contrastive divergence: the likelihood's gradient with a few Gibbs sweeps from the data in place of the model."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.discrete.boltzmann_machine import BoltzmannMachine, check_machine
from toylab.discrete.gibbs import gibbs_expectation, gibbs_sweep
from toylab.discrete.spins import check_spins


def contrastive_divergence(
    machine: BoltzmannMachine, x: Tensor, *, n_sweeps: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """CD-k: energy(x) - energy(y), y the end of k Gibbs sweeps from x, shape [...], for spins x [..., n].

    Only its gradient has a meaning: y is held fixed, though it depends on the machine. It is no gradient of any
    function, so that a line search (L-BFGS) does not apply. In expectation it vanishes at the truth; elsewhere it is
    the likelihood's gradient with E_p replaced by the mean after k sweeps from the data.
    Source: Hinton 2002, "Training products of experts by minimizing contrastive divergence".

    Args:
        machine: whose parameters are trained.
        x: data.
        n_sweeps: k.
        generator: of the Gibbs sampler.
    """
    n_sweeps = validate.count("n_sweeps", n_sweeps)
    y = check_spins(x, check_machine("machine", machine).n_spins)
    for _ in range(n_sweeps):
        y = gibbs_sweep(machine, y, generator=generator)
    return machine.energy(x) - machine.energy(y)


def contrastive_divergence_gradients(machine: BoltzmannMachine, *, n_sweeps: int = 1) -> Tensor:
    """E[gradient of CD-k in theta | x] = T^k f(x) - f(x) for every state x, f its statistics: exact, [2^n, m].

    T is the transition matrix of a sweep. Row x is what ``contrastive_divergence`` gives on average for the point x;
    of the likelihood it would be E_p[f] - f(x), to which it tends as k grows.
    """
    f = check_machine("machine", machine).statistics(machine.states)
    return gibbs_expectation(machine, f, n_sweeps=n_sweeps) - f
