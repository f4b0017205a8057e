"""Which x_0 goes with which x_1 of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab.paths.times import check_ends

Coupling = Callable[[Tensor, Tensor], Tensor]
"""coupling(x0, x1): the points x0 [..., n, 2] in the order in which they go with x1 [..., n, 2]."""


def independent(x0: Tensor, x1: Tensor) -> Tensor:
    """The points x0 as they come: x_0 and x_1 are independent. Shape of x0 [..., n, 2]."""
    check_ends(x0, x1)
    return x0


def optimal_transport(x0: Tensor, x1: Tensor) -> Tensor:
    """The points x0 in the order that makes sum |x1 - x0|^2 least; shape of x0 [..., n, 2].

    Paths of a batch then hardly cross, and the velocity is nearer to that of optimal transport as n grows. Solved
    exactly on the CPU, at a cost of n^3.
    Source: Tong et al. 2024 (arXiv:2302.00482), section 3.2.4; Pooladian et al. 2023 (arXiv:2304.14772).

    Raises:
        ValueError: if there is one point alone instead of a batch, or points are nan or inf.
    """
    from scipy.optimize import linear_sum_assignment  # slow to load, and needed only here

    check_ends(x0, x1)
    if x0.ndim < 2:
        raise ValueError(f"x0 has shape {list(x0.shape)}: a coupling orders a batch of points, [..., n, 2].")
    starts, ends = (x.detach().double().cpu().reshape(-1, *x.shape[-2:]) for x in (x0, x1))
    if not bool(starts.isfinite().all() & ends.isfinite().all()):
        raise ValueError("x0 or x1 holds nan or inf: there is no least cost between such points. Leave them out.")
    batches = [
        linear_sum_assignment((b[:, None] - a[None]).square().sum(-1).numpy())[1]
        for a, b in zip(starts, ends, strict=True)
    ]
    order = (
        torch.stack([torch.as_tensor(batch, device="cpu") for batch in batches])
        if batches
        else torch.empty(0, dtype=torch.int64, device="cpu")
    )
    index = order.to(x0.device).view(x0.shape[:-1])[..., None].expand(x0.shape)
    return x0.gather(-2, index)
