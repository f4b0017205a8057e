"""The laws of spins by loops over all states, in NumPy: what the tests of toylab.discrete compare with."""

import itertools
import math

import numpy as np
import torch

from toylab.discrete import BoltzmannMachine


def random_machine(n, seed, scale=0.6):
    """A machine of n spins, in float64, with normal couplings and fields."""
    rng = np.random.default_rng(seed)
    W = np.triu(rng.normal(scale=scale, size=(n, n)), 1)
    return BoltzmannMachine(torch.from_numpy(W + W.T), torch.from_numpy(rng.normal(scale=scale, size=n)))


def states(n):
    return list(itertools.product([-1, 1], repeat=n))


def law(machine):
    """{state: probability}, from the pairs i < j."""
    W, b = machine.coupling.detach().numpy(), machine.field.detach().numpy()
    n = len(b)
    weights = {
        x: math.exp(
            sum(W[i, j] * x[i] * x[j] for i, j in itertools.combinations(range(n), 2))
            + sum(b[i] * x[i] for i in range(n))
        )
        for x in states(n)
    }
    total = sum(weights.values())
    return {x: weight / total for x, weight in weights.items()}


def turned(x, i):
    """The state with spin i turned over."""
    return (*x[:i], -x[i], *x[i + 1 :])


def conditional(p, x, i):
    """P(x_i | all other spins)."""
    return p[x] / (p[x] + p[turned(x, i)])


def site_matrix(p, n, i):
    """The transition matrix that draws spin i anew given all others."""
    index = {x: k for k, x in enumerate(states(n))}
    T = np.zeros((2**n, 2**n))
    for x, k in index.items():
        for y in (x, turned(x, i)):
            T[k, index[y]] = conditional(p, y, i)
    return T


def sweep_matrix(p, n):
    """The transition matrix of a sweep: spin 1 first, spin n last."""
    T = np.eye(2**n)
    for i in range(n):
        T = T @ site_matrix(p, n, i)
    return T


def table(p):
    """The probabilities as a vector, in the order of the states."""
    return np.array(list(p.values()))
