"""Diffusion posterior sampling: the clean point is taken for known, at its mean."""

from torch import Tensor

from toylab._internal import validate
from toylab.guidance.measured import MeasuredScore, Rows, Values
from toylab.score import NoiseConditionalScore


def dps(score: NoiseConditionalScore, A: Rows, y: Values, noise: float) -> MeasuredScore:
    """s(x, sigma) + grad_x log N(y; A m(x), noise^2 I),  m(x) = x + sigma^2 s(x, sigma): C = 0 in ``MeasuredScore``.

    What is not yet known of the clean point is left out of the likelihood, which is too sharp at every noise level but
    the last. For N(0, v), y = x_0 + noise z and k = v / noise^2 the reverse SDE ends, however small its steps, with

        mean y (1 - e^-k) and variance noise^2/2 (1 - e^-2k),    the posterior with y k / (1 + k) and v / (1 + k):

    half of the variance where the measurement is precise. The probability flow ends with variance v e^-k. The pull is
    of size |A|^2 / noise^2 at every level, so that a step in which sigma^2 falls by much more than 2 noise^2 / |A|^2
    is not stable.

    The published algorithm steps by -zeta / |y - A m| times grad |y - A m|^2, zeta of .1 to 1, where a step of the
    reverse SDE takes its fall of sigma^2 over 2 noise^2 for that factor: a weight that depends on point and step, and
    is no score. A weight w of the likelihood is a noise of noise / sqrt(w).

    Source: Chung et al. 2023, Diffusion posterior sampling for general noisy inverse problems (arXiv:2209.14687),
    theorem 1 and algorithm 1.

    Args:
        score: s(x, sigma), exact (``p.score``) or learned.
        A: shape [m, 2] with m = 1 or 2, or a row [2].
        y: shape [m], a number for m = 1, or one per point, [n, m].
        noise: standard deviation of the noise of y, > 0.

    Raises:
        TypeError: unless ``score`` is a function of x and sigma, and A and y are numbers.
        ValueError: if a shape is wrong, y is not finite, or noise is not positive.
    """
    return MeasuredScore(score, *validate.measurement(A, y, noise), _none)


def _none(A: Tensor, slopes: Tensor, variance: Tensor) -> Tensor:
    return A.new_zeros(len(A), len(A))
