"""The fully visible Boltzmann machine, with its normaliser: a sum over all states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.random import categorical
from toylab.discrete.inputs import Matrix, Vector, check_precision, numbers
from toylab.discrete.spins import MOST_SPINS, all_spins, check_spins, too_many


@dataclass(frozen=True, eq=False)
class BoltzmannMachine:
    """p(x) = exp(1/2 x^T W x + b^T x) / Z on spins x in {-1, +1}^n, with Z the sum over all 2^n states.

    W is symmetric with a zero diagonal, so that 1/2 x^T W x = sum_(i<j) W_ij x_i x_j: each pair counts once. Gradients
    flow to W and b. Evaluation follows the dtype and device of the points, samples those of W.
    Source: Ackley, Hinton & Sejnowski 1985, "A learning algorithm for Boltzmann machines", without hidden units.

    Args:
        coupling: W, shape [n, n], n at most 16.
        field: b, shape [n]; zero if not given.

    Raises:
        ValueError: if W is not square, not symmetric, or has a diagonal; if n > 16; if an entry is nan or infinite.

    >>> machine = BoltzmannMachine([[0.0, 1.0], [1.0, 0.0]])
    >>> machine.log_prob(torch.tensor([1.0, 1.0]))  # 1 - log(4 cosh 1)
    tensor(-0.8201)
    """

    coupling: Tensor
    field: Tensor

    def __init__(self, coupling: Matrix, field: Vector | None = None) -> None:
        W = numbers("coupling", coupling)
        if W.ndim != 2 or W.shape[0] != W.shape[1] or len(W) == 0:
            raise ValueError(f"coupling has shape {list(W.shape)}: give a square matrix [n, n], one row per spin.")
        if len(W) > MOST_SPINS:
            raise ValueError(too_many(len(W)))
        b = W.new_zeros(len(W)) if field is None else numbers("field", field)
        if b.shape != W.shape[:1]:
            raise ValueError(f"field has shape {list(b.shape)} for {len(W)} spins: give {[len(W)]}, one per spin.")
        if b.device != W.device:
            raise ValueError(f"field is on {b.device} and coupling on {W.device}: give field.to(coupling).")
        _check_coupling(W.detach())
        dtype = torch.promote_types(W.dtype, b.dtype)
        vars(self).update(coupling=W.to(dtype), field=b.to(dtype))

    @classmethod
    def from_vector(cls, theta: Tensor) -> Self:
        """The machine of the parameters theta [n (n + 1) / 2]: W_ij for i < j, row by row, then b."""
        if not isinstance(theta, Tensor):
            raise TypeError(f"theta is a {type(theta).__name__}: give a 1-D tensor, as machine.to_vector() is.")
        check_precision("theta", theta)
        n = int((2 * theta.numel()) ** 0.5)  # n^2 < n (n + 1) < (n + 1)^2
        if theta.ndim != 1 or n * (n + 1) != 2 * len(theta) or n == 0:
            raise ValueError(
                f"theta has shape {list(theta.shape)}: n spins have n (n + 1) / 2 parameters, 1, 3, 6, 10, ...: "
                "W_ij for i < j, row by row, then b."
            )
        if n > MOST_SPINS:
            raise ValueError(too_many(n))
        i, j = torch.triu_indices(n, n, 1, device=theta.device)
        upper = theta.new_zeros(n, n).index_put((i, j), theta[:-n])
        return cls(upper + upper.mT, theta[-n:])

    def to_vector(self) -> Tensor:
        """The parameters theta, shape [n (n + 1) / 2]: W_ij for i < j, row by row, then b."""
        i, j = torch.triu_indices(self.n_spins, self.n_spins, 1, device=self.coupling.device)
        return torch.cat([self.coupling[i, j], self.field])

    @property
    def n_spins(self) -> int:
        """The number of spins."""
        return len(self.coupling)

    @property
    def states(self) -> Tensor:
        """All states, shape [2^n, n], in the order of ``all_spins``."""
        return all_spins(self.n_spins, dtype=self.coupling.dtype, device=self.coupling.device)

    def energy(self, x: Tensor) -> Tensor:
        """-1/2 x^T W x - b^T x, shape [...], for spins x [..., n]: -log p(x) up to the constant log Z."""
        check_spins(x, self.n_spins)
        return -(x * (0.5 * x @ self.coupling.to(x) + self.field.to(x))).sum(-1)

    def statistics(self, x: Tensor) -> Tensor:
        """x_i x_j for i < j, row by row, then x_i, shape [..., n (n + 1) / 2]: the energy is -theta^T of them."""
        check_spins(x, self.n_spins)
        i, j = torch.triu_indices(self.n_spins, self.n_spins, 1, device=x.device)
        return torch.cat([x[..., i] * x[..., j], x], -1)

    def log_normaliser(self) -> Tensor:
        """log Z = log sum_x exp(-energy(x)), a tensor without dimensions."""
        return (-self.energy(self.states)).logsumexp(0)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), shape [...], for spins x [..., n]."""
        return -self.energy(x) - self.log_normaliser().to(x)

    def probabilities(self) -> Tensor:
        """p of every state, shape [2^n], in the order of ``all_spins``."""
        return (-self.energy(self.states)).softmax(0)

    def mean(self) -> Tensor:
        """E[x_i], shape [n]."""
        return self.probabilities() @ self.states

    def correlation(self) -> Tensor:
        """E[x_i x_j], shape [n, n]; ones on the diagonal. The means are not subtracted."""
        return self.states.mT @ (self.probabilities()[:, None] * self.states)

    def log_odds(self, x: Tensor) -> Tensor:
        """log p(x) / p(x with spin i turned over) = 2 x_i (W x + b)_i, shape [..., n]: free of Z."""
        check_spins(x, self.n_spins)
        return 2 * x * (x @ self.coupling.to(x) + self.field.to(x))

    def conditional(self, x: Tensor) -> Tensor:
        """P(x_i = +1 | all other spins) = 1 / (1 + exp(-2 (W x + b)_i)), shape [..., n]."""
        return (x * self.log_odds(x)).sigmoid()  # x_i^2 = 1

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Independent draws, shape [*sample_shape, n], from the table of all states: exact, no chain."""
        validate.shape("sample_shape", sample_shape)
        with torch.no_grad():
            return self.states[categorical(self.probabilities(), sample_shape, generator=generator)]


def check_machine(name: str, value: object) -> BoltzmannMachine:
    """Return ``value``, or raise ``TypeError`` unless it is a machine."""
    if not isinstance(value, BoltzmannMachine):
        raise TypeError(f"{name} is a {type(value).__name__}: give a BoltzmannMachine, for example two_spin(0.5).")
    return value


def _check_coupling(W: Tensor) -> None:
    """Raise unless W is symmetric with a zero diagonal, where it can be read."""
    if not validate.readable(W):
        return
    if bool((asymmetry := (W - W.mT).abs() > 1e-6 * W.abs().max()).any()):
        i, j = asymmetry.nonzero()[0].tolist()
        raise ValueError(
            f"coupling is not symmetric: [{i}, {j}] is {float(W[i, j]):g} and [{j}, {i}] is {float(W[j, i]):g}. "
            "p knows W + W^T alone: give (W + W.mT) / 2."
        )
    if bool(W.diagonal().any()):
        raise ValueError(
            f"coupling has the diagonal {short(W.diagonal().tolist())}: x_i^2 is 1, so it cancels in p and no data can "
            "tell it. Give W - W.diagonal().diag()."
        )
