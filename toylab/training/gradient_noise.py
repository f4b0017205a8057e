"""How noisy is a training step: the variance of the gradient of a mini-batch loss."""

from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.uncalled import refuse_function
from toylab.densities.density import Density
from toylab.objectives.objective import Objective
from toylab.training.ensemble import Ensemble
from toylab.training.result import Network
from toylab.training.trial import check_losses, check_pair


def gradient_noise(
    network: Network,
    objective: Objective[Network],
    density: Density,
    *,
    batch_size: int = 256,
    n_batches: int = 64,
    generator: torch.Generator | None = None,
) -> float:
    """Trace of the covariance of the gradient of a mini-batch loss with respect to all parameters of the network.

        tr Cov g = E |g - E g|^2,    g = grad_theta  1/n sum_i loss_i

    over the batch and over what the objective draws. It falls as 1 / ``batch_size``. The estimate from R batches has a
    relative standard error of at most sqrt(2 / (R - 1)), and less when there are many parameters. Objectives that stand
    for the same Fisher divergence have the same E g: their noise can be compared.

    Args:
        network: at whose weights the gradient is taken; it is left as it is.
        objective: as for ``fit``.
        density: what the batches are drawn from.
        batch_size: points per batch.
        n_batches: R, independent batches; their gradients are computed side by side, 16 at a time.
        generator: source of randomness; None is torch's global stream.
    """
    return float(batch_gradients(network, objective, density, batch_size, n_batches, generator).double().var(0).sum())


def batch_gradients(
    network: Network,
    objective: Objective[Network],
    density: Density,
    batch_size: int,
    n_batches: int,
    generator: torch.Generator | None,
) -> Tensor:
    """The gradients g of so many independent batches [n_batches, number of parameters], arguments as above."""
    check_pair(objective, network)
    refuse_function("density", density)
    if not isinstance(density, Density):
        raise TypeError(f"density is a {type(density).__name__}: give a density, such as two_modes() or Points(data).")
    batch_size = validate.count("batch_size", batch_size)
    n_batches = validate.count("n_batches", n_batches, least=2)
    parameter = next(network.parameters())
    density = density.to(torch.empty(0, dtype=parameter.dtype, device=parameter.device))
    loss: Objective[Any] = objective
    gradients = []
    for n in [16] * (n_batches // 16) + [n_batches % 16] * (n_batches % 16 > 0):
        networks = Ensemble([network] * n)
        x = density.sample((n, batch_size), generator=generator)
        losses = check_losses(loss(networks, x, generator=generator), x)
        parts = torch.autograd.grad(losses.mean(-1).sum(), list(networks.parameters()), allow_unused=True)
        gradients.append(
            torch.cat(
                [
                    w.new_zeros(n, w[0].numel()) if part is None else part.reshape(n, -1)
                    for part, w in zip(parts, networks.parameters(), strict=True)
                ],
                1,
            )
        )
    return torch.cat(gradients)
