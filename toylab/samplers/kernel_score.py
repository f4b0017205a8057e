"""The score of a kernel estimate, from a batch of the data."""

from torch import Tensor

from toylab._internal import validate
from toylab.samplers.stochastic_gradient import BatchScore


def kernel_score(h: float) -> BatchScore:
    """The score of a kernel estimate from a batch: grad log mean_j N(x; y_j, h^2 I), one batch [B, 2] per chain.

    With all the data it is the score of ``Points(data).noised(h)``. From a part of them it is *not* unbiased, being
    a ratio of means: what it samples is an average of kernel estimates of the parts.
    """
    h = validate.positive("h", h)

    def score(x: Tensor, batch: Tensor) -> Tensor:
        gap = batch - x[:, None]
        share = (-gap.square().sum(-1) / (2 * h * h)).softmax(-1)
        return (share[..., None] * gap).sum(1) / h**2

    return score
