"""Mixtures of any densities."""

import math

import pytest
import scipy.stats
import torch

from toylab.densities import Circle, GaussianMixture, Mixture, Points, Segment, Square, TwoMoons, two_modes

METHODS = ["log_prob", "score", "divergence"]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


GAUSSIANS = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
SINGLE = [GaussianMixture([1.0], m[None], C) for m, C in zip(GAUSSIANS.means, GAUSSIANS.covariances, strict=True)]


@pytest.mark.parametrize("method", [*METHODS, "posterior"])
@pytest.mark.parametrize("sigma", [0.0, 0.05, 2.0, torch.linspace(0, 3, 40, dtype=torch.float64)])
def test_a_mixture_of_gaussians_is_the_gaussian_mixture(method, sigma):
    x = 4 * randn(40, 2)
    mixed = Mixture(GAUSSIANS.weights, SINGLE)
    nested = Mixture([0.8, 0.2], [Mixture([0.375, 0.625], SINGLE[:2]), SINGLE[2]])
    expected = getattr(GAUSSIANS, method)(x, sigma)
    torch.testing.assert_close(getattr(mixed, method)(x, sigma), expected, rtol=1e-11, atol=1e-11)
    if method != "posterior":
        torch.testing.assert_close(getattr(nested, method)(x, sigma), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("method", [*METHODS, "log_prob_and_score", "posterior"])
@pytest.mark.parametrize("part", [Circle(), Points([[0.0, 0.0]]), Segment(), TwoMoons()], ids=repr)
def test_with_a_part_that_has_no_density_sigma_must_be_positive(part, method):
    p, x = Mixture([0.5, 0.5], [two_modes(), part]), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="sigma is 0: .*has no density of its own. Give a noise level sigma > 0"):
        getattr(p, method)(x)
    result = getattr(p, method)(x, 0.1)
    for values in result if isinstance(result, tuple) else [result]:
        assert bool(values.isfinite().all())


def test_where_a_part_has_no_mass_it_has_no_say():
    """Two clean squares that overlap, and a Gaussian: outside a square its score is nan, and must not spread."""
    left, right = Square(-2.0, 1.0), Square(0.0, 2.0)
    p = Mixture([0.25, 0.75], [left, right])
    x = torch.tensor([[-1.0, -1.0], [0.5, 0.5], [1.5, 1.5], [1.5, -1.5]], dtype=torch.float64)
    inside = [0.25 / 9, 0.25 / 9 + 0.75 / 4, 0.75 / 4]
    assert p.log_prob(x).tolist() == pytest.approx([math.log(height) for height in inside] + [-math.inf])
    assert p.score(x)[:3].tolist() == [[0.0, 0.0]] * 3
    assert p.divergence(x)[:3].tolist() == [0.0] * 3

    far = torch.tensor([[3.0, 0.0], [-7.0, 5.0]], dtype=torch.float64)
    with_tails = Mixture([0.5, 0.5], [left, GAUSSIANS])
    torch.testing.assert_close(with_tails.score(far), GAUSSIANS.score(far), rtol=1e-14, atol=0)
    torch.testing.assert_close(with_tails.divergence(far), GAUSSIANS.divergence(far), rtol=1e-13, atol=0)
    torch.testing.assert_close(with_tails.log_prob(far), GAUSSIANS.log_prob(far) - math.log(2), rtol=1e-14, atol=0)
    log_p, score = with_tails.log_prob_and_score(far)
    assert torch.equal(log_p, with_tails.log_prob(far))
    assert torch.equal(score, with_tails.score(far))
    assert with_tails.posterior(far).tolist() == [[0.0, 1.0]] * 2


def test_a_mixture_draws_its_parts_by_their_weights():
    """Chi-square of 1e5 draws of parts that do not overlap, p > 1e-6; and each part draws its own law."""
    parts = [Square(-9.0, -8.0), Circle(1.0), Segment((8.0, 8.0), (9.0, 8.0))]
    x = Mixture([0.2, 0.5, 0.3], parts).to(torch.float64).sample((100, 1000), generator=generator(6)).view(-1, 2)
    which = torch.stack([x[:, 0] < -7, x.norm(dim=-1) < 2, x[:, 0] > 7], -1)
    assert scipy.stats.chisquare(which.sum(0).numpy(), [20_000, 50_000, 30_000]).pvalue > 1e-6
    assert scipy.stats.kstest((x[which[:, 0], 0] + 9).numpy(), "uniform").pvalue > 1e-6
    assert scipy.stats.kstest((x[which[:, 2], 0] - 8).numpy(), "uniform").pvalue > 1e-6
    # and in no order: the parts of successive draws are independent
    left = which[:, 0].double() - 0.2
    assert abs(float((left[1:] * left[:-1]).mean())) * math.sqrt(100_000) / (0.2 * 0.8) < 5


def test_a_mixture_takes_the_dtype_of_its_first_part_and_gives_it_to_all():
    p = Mixture([0.5, 0.5], [Square().to(torch.float64), Circle()])
    assert p.dtype == torch.float64
    assert [part.dtype for part in p.densities] == [torch.float64] * 2
    assert p.sample((3,)).dtype == torch.float64
    assert [part.dtype for part in p.to(torch.float32).densities] == [torch.float32] * 2
