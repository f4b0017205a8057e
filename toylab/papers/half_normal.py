"""Score matching of non-negative data: the precision of a half-normal law is found, and this is what it costs."""

import torch

from toylab._internal.random import normal
from toylab.experiments.setting import generator, scaled_count
from toylab.metrics import Estimate, mean_of
from toylab.papers.paper import Line, Paper, exactly, judged, of_ours

N_POINTS = 1000


def run(*, seed: int = 0, share: float = 1.0, progress: bool = True) -> list[Line]:
    """n times the mean square error of both estimators of the precision, 1, over 20,000 fits."""
    n_fits = scaled_count(20_000, share, least=10)
    squares = normal(
        (n_fits, N_POINTS), dtype=torch.float64, device=torch.device("cpu"), generator=generator(seed, 0)
    ).square()
    second, fourth = squares.mean(-1), squares.square().mean(-1)
    by_matching, by_likelihood = _price(3 * second / fourth), _price(1 / second)
    matching, likelihood = exactly(14 / 3), exactly(2.0)
    return [
        Line(
            "n Var of the precision, score matching", "consistent", by_matching, matching, False,
            f"{judged(by_matching, matching)}, and at an efficiency of 3/7 ({likelihood.value / matching.value:.3f}); "
            f"{of_ours(by_matching, matching)}",
        ),
        Line(
            "n Var of the precision, maximum likelihood", "–", by_likelihood, likelihood, False,
            f"what is possible; {of_ours(by_likelihood, likelihood)}",
        ),
    ]  # fmt: skip


def _price(fits: torch.Tensor) -> Estimate:
    """n Var, with the variance about the mean of the fits, so that the bias of order 1/n is no part of it."""
    return mean_of(N_POINTS * (fits - fits.mean()).square())


PAPER = Paper(
    "Hyvärinen 2007, Some extensions of score matching (Computational Statistics & Data Analysis 51), section 3",
    "The law of |z|, 1,000 points a fit, 20,000 fits; the variance for large n is exact",
    run,
)
