"""Two small machines: the two spins of the textbook, and Ising's model on a grid."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.discrete.boltzmann_machine import BoltzmannMachine
from toylab.discrete.inputs import Vector, check_precision
from toylab.discrete.spins import MOST_SPINS, too_many


def two_spin(coupling: Tensor | float, field: Vector | None = None) -> BoltzmannMachine:
    """p(x) = exp(J x_1 x_2 + b^T x) / Z, with Z = 2 e^J cosh(b_1 + b_2) + 2 e^-J cosh(b_1 - b_2).

    Without a field Z = 4 cosh J and E[x_1 x_2] = tanh J.

    Args:
        coupling: J, a number or a tensor without dimensions, to which gradients flow.
        field: b, two numbers; zero if not given.
    """
    J = _scalar("coupling", coupling, field)
    return BoltzmannMachine(J * J.new_tensor([[0.0, 1.0], [1.0, 0.0]]), field)


def ising_grid(rows: int, columns: int, coupling: Tensor | float, field: Tensor | float = 0.0) -> BoltzmannMachine:
    """log p(x) = J sum over neighbours x_i x_j + b sum_i x_i - log Z on a grid with free edges.

    Spin r * columns + c is in row r, column c; each pair of neighbours counts once. On the infinite square lattice
    spins order from J = 1/2 log(1 + sqrt 2) = 0.4407 on.
    Source: Ising 1925; Onsager 1944.

    Args:
        rows: of spins.
        columns: of spins; at most 16 spins in all.
        coupling: J, a number or a tensor without dimensions, to which gradients flow; so for the field.
        field: b, the same for every spin.
    """
    n = validate.count("rows", rows) * validate.count("columns", columns)
    if n > MOST_SPINS:
        raise ValueError(too_many(n))
    J, b = _scalar("coupling", coupling, field), _scalar("field", field, coupling)
    site = torch.arange(n, device=J.device)
    r, c = site // columns, site % columns
    distance = (r[:, None] - r).abs() + (c[:, None] - c).abs()
    return BoltzmannMachine(J * (distance == 1).to(J), b.expand(n))


def _scalar(name: str, value: Tensor | float, other: object) -> Tensor:
    """As a tensor without dimensions; a number becomes one like the other argument, if that is a tensor."""
    if not isinstance(value, Tensor):
        number = torch.tensor(validate.finite(name, value), device="cpu")
        return number.to(other) if isinstance(other, Tensor) and other.is_floating_point() else number
    if value.ndim > 0:
        raise ValueError(f"{name} has shape {list(value.shape)}: give a number, or a tensor without dimensions.")
    return check_precision(name, value)
