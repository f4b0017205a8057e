"""What a loss is called with wrongly is told in a sentence of ours, before any work."""

import pytest
import torch

from toylab.densities import Density, two_modes
from toylab.networks import ScoreMLP
from toylab.objectives import (
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    Implicit,
    MultiscaleDenoising,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoisePrediction,
    Sliced,
)
from toylab.schedules import geometric
from toylab.testing import check_objective
from toylab.training import fit

SIGMAS = geometric(2.0, 0.5, 3)


def right(x, *sigma):
    return -x


OBJECTIVES = [
    Denoising(0.5), Denoising(0.5, antithetic=True), Denoising(0.5, control_variate=True), NoisePrediction(0.5),
    Explicit(right), Implicit(), Sliced(), Sliced(3, variance_reduced=False), FiniteDifferenceSliced(),
    NoiseConditional(SIGMAS), NoiseConditional(SIGMAS, antithetic=True),
    NoiseConditionalExplicit(right, SIGMAS), MultiscaleDenoising(SIGMAS, 0.5),
]  # fmt: skip
every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: repr(objective).split("=<")[0])
X = torch.zeros(5, 2)


def g():
    return torch.Generator().manual_seed(0)


@every_objective
@pytest.mark.parametrize(
    ("score", "error", "message"),
    [
        (
            lambda x, *sigma: x[..., :1],
            ValueError,
            r"gives \[.*1\] for points \[.*2\]: a .* has the shape of its points",
        ),
        (lambda x, *sigma: x.sum(-1), ValueError, r"has the shape of its points"),
        (lambda x, *sigma: (x, x), TypeError, r"gives a tuple for points .*: it must give a tensor"),
        (lambda x, *sigma: None, TypeError, r"gives a NoneType"),
        (3, TypeError, r"is a int: a loss is called as objective"),
        (ScoreMLP, TypeError, r"is the class ScoreMLP"),
    ],
    ids=["[n, 1]", "[n]", "tuple", "None", "a number", "a class"],
)
def test_a_wrong_score(objective, score, error, message):
    with pytest.raises(error, match=message):
        objective(score, X, generator=g())


@every_objective
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(5, 3), ValueError, r"x has shape \[5, 3\]: the last dimension must be 2"),
        (torch.zeros(5, 2, dtype=torch.int64), TypeError, r"x has dtype torch.int64: scores need floating point"),
        ([[0.0, 0.0]], TypeError, r"x is a list: give a torch tensor"),
        (torch.tensor(0.0), ValueError, r"x has shape \[\]"),
    ],
)
def test_wrong_points(objective, x, error, message):
    with pytest.raises(error, match=message):
        objective(right, x, generator=g())


@every_objective
def test_a_wrong_generator_and_arguments_the_wrong_way_round(objective):
    with pytest.raises(TypeError, match=r"generator is 0, a int: give torch.Generator\(\)"):
        objective(right, X, generator=0)
    with pytest.raises(TypeError, match=r"is points \[5, 2\]: a loss is called as objective\("):
        objective(X, right, generator=g())


@every_objective
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_precision_works(objective, dtype):
    if isinstance(objective, FiniteDifferenceSliced) and dtype in (torch.bfloat16, torch.float16):
        pytest.skip("a difference of step .01 is lost in half precision")
    losses = objective(right, X.to(dtype), generator=g())
    assert losses.shape == (5,)
    assert losses.isfinite().all()


@pytest.mark.parametrize("sigma", ["1", -1.0, 0.0, float("nan"), float("inf"), torch.tensor([1.0, 2.0]), None])
def test_a_wrong_level(sigma):
    for kind in (Denoising, NoisePrediction):
        with pytest.raises((TypeError, ValueError), match=r"sigma (is|has shape) .*: it must be"):
            kind(sigma)


def test_a_wrong_target():
    for objective in (Explicit(lambda x: x.sum(-1)), NoiseConditionalExplicit(lambda x, sigma: x.sum(-1), SIGMAS)):
        with pytest.raises(ValueError, match=r"target gives \[5\] for points \[5, 2\]"):
            objective(right, X, generator=g())


class NoBounds(Density):
    """A law that has a formula and no more."""

    def log_prob(self, x, sigma=0.0):
        return -0.5 * x.square().sum(-1)


@every_objective
def test_offsets_of_what_is_no_density(objective):
    with pytest.raises(TypeError, match=r"density is a Tensor: an offset is a mean under a density"):
        objective.offset(X)
    with pytest.raises(TypeError, match=r"density is the function two_modes: give what it returns"):
        objective.offset(two_modes)
    if not isinstance(objective, Explicit | NoiseConditionalExplicit):  # whose offset is 0 whatever the density
        with pytest.raises(TypeError, match=r"NoBounds has no bounds\(sigma\), which quadrature needs"):
            objective.offset(NoBounds())


def test_a_loss_without_a_generator_is_told_so():
    def mine(score, x):
        return score(x).square().sum(-1)

    with pytest.raises(
        TypeError, match=r"objective takes no argument named generator.*def loss\(score, x, \*, generator"
    ):
        fit(ScoreMLP(), mine, two_modes(), n_steps=1)
    assert "takes no argument named generator" in check_objective(mine).wrong
