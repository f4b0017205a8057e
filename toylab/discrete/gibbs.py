"""Gibbs sampling: each spin in turn is drawn anew given all others; as draws, and exactly on the table of states."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import uniform
from toylab.discrete.boltzmann_machine import BoltzmannMachine, check_machine
from toylab.discrete.inputs import check_precision
from toylab.discrete.spins import check_spins


def gibbs_sweep(machine: BoltzmannMachine, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """One sweep: x_i ~ p(x_i | all others) for i = 1, ..., n in this order; new spins, shape [..., n]. It keeps p.

    Source: Geman & Geman 1984.
    """
    x = check_spins(x, check_machine("machine", machine).n_spins).detach().clone()
    with torch.no_grad():
        W, b = machine.coupling.to(x), machine.field.to(x)
        for i in range(machine.n_spins):
            up = (2 * (x @ W[i] + b[i])).sigmoid()
            coin = uniform(up.shape, dtype=x.dtype, device=x.device, generator=generator)
            x[..., i] = torch.where(coin < up, 1.0, -1.0)
    return x


def gibbs_expectation(machine: BoltzmannMachine, values: Tensor, *, n_sweeps: int = 1) -> Tensor:
    """E[f(x after the sweeps) | x] for every state x, from the table of f: T^k f, exact, shape of ``values``.

    Of the identity matrix it is the transition matrix, T[x, y] = P(x -> y). Gradients flow to the machine.

    Args:
        machine: whose conditionals are drawn from.
        values: f of every state, shape [2^n, ...], in the order of ``all_spins``.
        n_sweeps: k, the number of sweeps.
    """
    n, states = check_machine("machine", machine).n_spins, machine.states
    n_sweeps = validate.count("n_sweeps", n_sweeps)
    if not isinstance(values, Tensor) or values.ndim == 0 or len(values) != 2**n:
        given = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"values is {given}: give a tensor [{2**n}, ...], one row per state of the {n} spins.")
    check_precision("values", values)
    up = machine.conditional(states).to(values)
    k = torch.arange(2**n, device=values.device)
    for _ in range(n_sweeps):
        for i in reversed(range(n)):  # what is drawn last is averaged first
            digit = 1 << (n - 1 - i)
            p = up[:, i].view(-1, *(1,) * (values.ndim - 1))
            values = p * values[k | digit] + (1 - p) * values[k & ~digit]
    return values
