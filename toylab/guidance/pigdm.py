"""Pseudoinverse-guided diffusion: the clean point lies about its mean as far as data of a known variance would."""

from dataclasses import dataclass

from torch import Tensor

from toylab._internal import validate
from toylab.guidance.measured import MeasuredScore, Rows, Values
from toylab.score import NoiseConditionalScore


def pigdm(score: NoiseConditionalScore, A: Rows, y: Values, noise: float, *, data_std: float = 1.0) -> MeasuredScore:
    """s(x, sigma) + grad_x log N(y; A m(x), noise^2 I + r^2 A A^T): C = r^2 I in ``MeasuredScore``.

        r^2 = sigma^2 v / (v + sigma^2),    v = data_std^2

    is the variance of x_0 given x for data N(mu, v I), for which this is exact; the paper has v = 1. For other data the
    guess knows their overall width and none of their modes: between modes it is too sure, in a mode not sure enough.

    Source: Song et al. 2023, Pseudoinverse-guided diffusion models for inverse problems (ICLR 2023), section 3.

    Args:
        score: s(x, sigma), exact (``p.score``) or learned.
        A: shape [m, 2] with m = 1 or 2, or a row [2].
        y: shape [m], a number for m = 1, or one per point, [n, m].
        noise: standard deviation of the noise of y, > 0.
        data_std: standard deviation of the data along an axis.

    Raises:
        TypeError: unless ``score`` is a function of x and sigma, and A and y are numbers.
        ValueError: if a shape is wrong, y is not finite, or noise or data_std is not positive.
    """
    return MeasuredScore(score, *validate.measurement(A, y, noise), _Round(validate.positive("data_std", data_std)))


@dataclass(frozen=True)
class _Round:
    data_std: float

    def __call__(self, A: Tensor, slopes: Tensor, variance: Tensor) -> Tensor:
        v = self.data_std**2
        return variance * v / (v + variance) * (A @ A.mT)
