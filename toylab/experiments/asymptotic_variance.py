"""How well one parameter is known from n points: the exact error of an estimator for large n, and fits to compare with.

An estimator here is a loss, rho(theta, x, ..): it minimises the mean of rho over the data. What it draws beside each
point, such as the noise of denoising, comes as a further argument.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Loss = Callable[..., Tensor]
"""rho(theta, x, ..): all broadcast; it can be differentiated twice in theta."""

_MOST_STEPS, _SETTLED = 20, 1e-6


def asymptotic_variance(loss: Loss, theta: float, nodes: Sequence[Tensor], probabilities: Tensor) -> float:
    """The limit of n Var theta_hat, where theta_hat minimises the mean of rho over n points.

    It is the sandwich

        B / A^2,    A = E rho''(theta),    B = Var rho'(theta),    derivatives in theta.

    For rho = -log p both A and B are the Fisher information I, and it is 1 / I: no estimator that is asymptotically
    unbiased everywhere does better. Score matching has another A and another B.
    Source: Huber 1967; van der Vaart 1998, theorem 5.21.

    Args:
        loss: rho.
        theta: the true parameter, where E rho' = 0.
        nodes: of a quadrature of the law of the data at theta: x, and what is drawn beside it, of one shape.
        probabilities: what each node stands for, of the same shape; they add up to one.
    """
    slope, curvature = _derivatives(lambda each: loss(each, *nodes), torch.full_like(probabilities, theta))
    a, mean = (float((probabilities * part).sum()) for part in (curvature, slope))
    return float((probabilities * (slope - mean).square()).sum()) / a**2


def newton(loss: Loss, start: Tensor, data: Sequence[Tensor], *, low: float, high: float) -> Tensor:
    """The minimiser of the mean loss of each data set, by Newton's method: theta <- theta - mean rho' / mean rho''.

    Args:
        loss: rho.
        start: first guesses, one per data set, [m].
        data: x, and what is drawn beside it, [m, n] each.
        low: least theta; a step beyond it ends there.
        high: greatest.

    Returns:
        The estimates, [m].
    """
    theta = start
    for _ in range(_MOST_STEPS):
        slope, curvature = _derivatives(lambda each: loss(each[:, None], *data).mean(-1), theta)
        before, theta = theta, (theta - slope / curvature).clamp(low, high)
        if bool((theta - before).abs().max() < _SETTLED):  # the next step would be about its square
            break
    return theta


def _derivatives(f: Callable[[Tensor], Tensor], theta: Tensor) -> tuple[Tensor, Tensor]:
    """f' and f'' at each entry of theta, of which the same entry of f is a function."""
    theta = theta.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(theta).sum(), theta, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), theta)
    return slope.detach(), curvature
