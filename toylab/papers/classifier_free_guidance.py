"""What classifier-free guidance samples where everything is normal: two laws, neither of them the tilted one."""

from torch import Tensor

from toylab.densities import isotropic
from toylab.experiments.setting import generator, scaled_count
from toylab.guidance import classifier_free
from toylab.metrics import Estimate
from toylab.papers.paper import Line, Paper, exactly, judged, of_ours
from toylab.samplers import probability_flow, reverse_sde
from toylab.schedules import geometric
from toylab.sde import VE

WEIGHT = 3.0
CLASS, ALL = 1.0, 2.0  # variances of p(x|c) and p(x)
TILTED = 1 / (WEIGHT / CLASS + (1 - WEIGHT) / ALL)  # variance of p(x) p(c|x)^w

_SDE, _N_STEPS = VE(1e-3, 1e3), 400


def run(*, seed: int = 0, share: float = 1.0, progress: bool = True) -> list[Line]:
    """The variance along an axis by the flow and by the reverse SDE."""
    score = classifier_free(isotropic([[0.0, 0.0]], CLASS**0.5).score, isotropic([[0.0, 0.0]], ALL**0.5).score, WEIGHT)
    times = _SDE.time_of(geometric(_SDE.sigma_max, _SDE.sigma_min, _N_STEPS + 1))
    g = generator(seed, 0)
    x = _SDE.prior.sample((scaled_count(20_000, share, least=100),), generator=g)
    flow = _variance(probability_flow(_SDE, score, x, times, progress=progress).samples)
    sde = _variance(reverse_sde(_SDE, score, x, times, generator=g, progress=progress).samples)
    by_the_flow = exactly(CLASS**WEIGHT * ALL ** (1 - WEIGHT))
    by_the_sde = exactly(
        (CLASS * ALL - ALL ** (2 - 2 * WEIGHT) * CLASS ** (2 * WEIGHT)) / ((2 * WEIGHT - 1) * (ALL - CLASS))
    )
    return [
        Line(
            f"variance by the probability flow, weight {WEIGHT:g}", "2^(1 - γ)", flow, by_the_flow, False,
            f"{judged(flow, by_the_flow)}; {of_ours(flow, by_the_flow)}, and the tilted law has {TILTED:g}",
        ),
        Line(
            f"variance by the reverse SDE, weight {WEIGHT:g}", "(2 - 2^(2 - 2γ)) / (2γ - 1)", sde, by_the_sde, False,
            f"{judged(sde, by_the_sde)}; {of_ours(sde, by_the_sde)}, and the tilted law has {TILTED:g}",
        ),
    ]  # fmt: skip


def _variance(samples: Tensor) -> Estimate:
    """Of both coordinates, whose mean is 0: the mean square, with the error bar of a normal law."""
    squares = samples.double().square().flatten()
    value = float(squares.mean())
    return Estimate(value, value * (2 / len(squares)) ** 0.5)


PAPER = Paper(
    "Bradley & Nakkiran 2024, Classifier-Free Guidance is a Predictor-Corrector (arXiv:2408.09000)",
    "The laws p(x|c) = N(0, 1) and p(x) = N(0, 2) along each axis, noise from 1000 to 0.001 in 400 "
    "steps, 20,000 points",
    run,
)
