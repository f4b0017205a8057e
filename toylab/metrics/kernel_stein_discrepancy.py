"""The kernel Stein discrepancy of a cloud from a score: no sample of the law is needed."""

import math

import torch

from toylab._internal import validate
from toylab.metrics.estimate import Estimate
from toylab.metrics.evaluate import call_score, finite
from toylab.metrics.points import PointsLike, finite_points
from toylab.metrics.two_sample import MOST_PAIRED
from toylab.score import Score

_ROWS = 50  # of the matrix of pairs at once: few enough for the cache


@torch.no_grad()
def kernel_stein_discrepancy(x: PointsLike, score: Score, *, scale: float = 1.0) -> Estimate:
    """KSD^2 = E u(X, X'), with u made of the score and an inverse multiquadric kernel: no sample of the law is needed.

        u(x, y) = s(x).s(y) k + s(x).grad_y k + s(y).grad_x k + tr grad_x grad_y k,   k = (c^2 + |x - y|^2)^(-1/2)

    It is zero for samples from the law whose score is given. It sees the score where the samples are, and so hardly
    sees the weights of far modes, on which the score there hardly depends. The estimate is the unbiased one, and so may
    be negative; its error bar is that of a U-statistic of independent samples, in both orders. As 0 is the least that
    KSD^2 can be, no error bar is exact there: for samples of the law itself it is about a third too wide, and covers 0
    in more than 99 of 100 cases instead of 95.
    Source: Liu, Lee & Jordan 2016; Gorham & Mackey 2017 for the kernel; Hoeffding 1948 for the error bar.

    Args:
        x: samples [n, 2], n from 3 to 20,000; or chains.
        score: of the law.
        scale: c.
    """
    validate.score("score", score)
    x = finite_points("x", x)
    n, c2 = len(x), validate.positive("scale", min(scale, 1e150) if isinstance(scale, float) else scale) ** 2
    if not 3 <= n <= MOST_PAIRED:
        raise ValueError(f"x has {n} points: all pairs are summed. Give from 3 to {MOST_PAIRED}, such as x[::k].")
    s = finite("score", call_score(score, x), x).double()
    x = x.double()
    rows, squares = torch.zeros(2, n, dtype=torch.float64, device=x.device)
    for k in range(0, n, _ROWS):
        gap = x[k : k + _ROWS, None] - x
        square = gap.square().sum(-1)
        kernel = (c2 + square).rsqrt()
        cubed = kernel**3
        left, right = s[k : k + _ROWS, None], s[None]
        u = (left * right).sum(-1) * kernel + ((left - right) * gap).sum(-1) * cubed
        u += (2 - 3 * square * kernel**2) * cubed
        u[torch.arange(len(gap), device="cpu"), k + torch.arange(len(gap), device="cpu")] = 0.0
        rows[k : k + _ROWS] = u.sum(1) / (n - 1)
        squares[k : k + _ROWS] = u.square().sum(1) / (n - 1)
    mean = float(rows.mean())
    of_pairs = max(float(squares.mean()) - mean**2, 0.0)  # Var u(X, X')
    of_points = max((n - 1) / (n - 2) * (float(rows.var()) - of_pairs / (n - 1)), 0.0)  # Var E[u(X, X') | X]
    return Estimate(mean, math.sqrt((4 * (n - 2) * of_points + 2 * of_pairs) / (n * (n - 1))))
