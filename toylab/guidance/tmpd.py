"""Tweedie moment projected diffusion: the clean point has its own mean and covariance, both from the score."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.guidance.measured import MeasuredScore, Rows, Values
from toylab.score import NoiseConditionalScore


def tmpd(score: NoiseConditionalScore, A: Rows, y: Values, noise: float) -> MeasuredScore:
    """s(x, sigma) + grad_x log N(y; A m(x), noise^2 I + A C(x) A^T),  C = sigma^2 (I + sigma^2 grad s(x, sigma)).

    m and C are the mean and the covariance of x_0 given x, by Tweedie's two formulas, and C is held fixed in the
    gradient. For Gaussian data, of any mean and covariance, C does not depend on x and this is exact. For other data
    the law of x_0 given x has more than two moments: several modes are taken for one wide one.

    Of a learned score A C A^T may be no covariance: its symmetric part is taken, and an eigenvalue below 0 counts as 0.

    Source: Boys et al. 2023, Tweedie moment projected diffusions for inverse problems (arXiv:2310.06721).

    Args:
        score: s(x, sigma), exact (``p.score``) or learned.
        A: shape [m, 2] with m = 1 or 2, or a row [2].
        y: shape [m], a number for m = 1, or one per point, [n, m].
        noise: standard deviation of the noise of y, > 0.

    Raises:
        TypeError: unless ``score`` is a function of x and sigma, and A and y are numbers.
        ValueError: if a shape is wrong, y is not finite, or noise is not positive.
    """
    return MeasuredScore(score, *validate.measurement(A, y, noise), _spread)


def _spread(A: Tensor, slopes: Tensor, variance: Tensor) -> Tensor:
    """sigma^2 A (dm/dx) A^T, as the covariance that it is of an exact score."""
    S = variance * (slopes @ A.mT)
    return S.clamp(min=0.0) if len(A) == 1 else _covariance(0.5 * (S + S.mT))


def _covariance(S: Tensor) -> Tensor:
    """A symmetric S [..., 2, 2], its negative eigenvalues put to 0.

    With S = t I + B, B of trace 0 and eigenvalues -r and r, those of S are t - r and t + r.
    """
    one = torch.eye(2, dtype=S.dtype, device=S.device)
    t = 0.5 * (S[..., 0, 0] + S[..., 1, 1])[..., None, None]
    B = S - t * one
    square = 0.5 * B.square().sum((-2, -1), keepdim=True)
    r = square.where(square > 0, 1.0).sqrt()  # of a round S it is not needed, and has no derivative at 0
    upper = (t + r).clamp(min=0.0)
    return torch.where((t < 0) | (square > t**2), 0.5 * upper * (one + B / r), S)
