"""The score of a posterior, from a batch of the data."""

from torch import Tensor

from toylab._internal import fields, validate
from toylab.samplers.stochastic_gradient import BatchScore
from toylab.score import Score

_LIKELIHOOD = fields.Kind(("x", "batch"), "the slope of log p(y | x) in x", "lambda x, y: (y - x[:, None]).sum(1)")


def posterior_score(prior: Score, likelihood: BatchScore, n_data: int) -> BatchScore:
    """s(x, batch) = grad log p(x) + N/B sum_i grad log p(y_i | x), one batch [B, k] of the N data per chain.

    Its mean over the batches is the score of the posterior p(x | y_1 .. y_N), which it is itself where the batch is all
    of the data. Source: Welling & Teh 2011, eq. 4.

    Args:
        prior: grad log p, for parameters x [n, 2].
        likelihood: grad log p(y | x) in x, for parameters x [n, 2] and batches [n, B, k]: the sum over the batch,
            [n, 2].
        n_data: N.
    """
    validate.score("prior", prior)
    validate.function("likelihood", likelihood, _LIKELIHOOD.example, takes=2)
    validate.field("likelihood", likelihood, _LIKELIHOOD)
    n_data = validate.count("n_data", n_data)

    def score(x: Tensor, batch: Tensor) -> Tensor:
        return prior(x) + n_data / batch.shape[1] * likelihood(x, batch)

    return score
