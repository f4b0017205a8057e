"""The likelihood by the probability flow, with exact scores against exact log-densities, and as a density in itself."""

import math
from dataclasses import dataclass

import pytest
import torch

from toylab.densities import Circle, GaussianMixture, isotropic, ring, two_modes
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.samplers import exact_trace, hutchinson, log_likelihood, prior_mismatch
from toylab.sde import VE, VP, SubVP

SDES = {"VE": VE(), "VP": VP(), "sub-VP": SubVP()}
CORRELATED = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
DENSITIES = {"two modes": two_modes(), "ring": ring()}
TAILS = torch.tensor([[20.0, 0.0], [0.0, 0.0], [-15.0, 15.0], [9.0, -9.0]], dtype=torch.float64)
every_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def points(p, n=30):
    return p.to(torch.float64).sample((n,), generator=generator())


def exact(p, sde, x):
    """log p_t at t_min."""
    return p.scaled(float(sde.alpha(sde.t_min))).noised(float(sde.sigma(sde.t_min))).log_prob(x)


def errors(p, sde, x, **kwargs):
    found = log_likelihood(sde, p.score, x, **kwargs)
    return found.log_prob + prior_mismatch(sde, p, found.end) - exact(p, sde, x)


CASES = [*(("two modes", name) for name in SDES), ("ring", "VP")]  # covariances that are not round come further below


@pytest.mark.parametrize(("density", "name"), CASES)
def test_it_is_the_exact_log_density(density, name):
    """Of 30 draws to 1e-6, and in the tails, where log p falls to -1800, to 1e-6 of it; all in one solve.

    In the tails of two modes, where log p is -27 to -252, to 1e-6 too; where it is -1400, as beyond the ring, rounding
    and rtol leave 7e-6.
    """
    p, sde = DENSITIES[density], SDES[name]
    x = torch.cat([points(p), TAILS])
    found = log_likelihood(sde, p.score, x)
    off = (found.log_prob + prior_mismatch(sde, p, found.end) - exact(p, sde, x)).abs()
    assert float(off[:30].max()) < 1e-6
    assert float((off / (1 + exact(p, sde, x).abs())).max()) < 1e-6
    if density == "two modes":
        assert float(off.max()) < 1e-6
    # and the parts add up
    torch.testing.assert_close(found.log_prob, found.log_prior + found.divergence)
    torch.testing.assert_close(found.log_prior, sde.prior.log_prob(found.end))
    assert torch.equal(found.standard_error, torch.zeros(34, dtype=torch.float64))
    assert 20 < found.n_evaluations < 1000


def test_on_a_law_without_a_density():
    """A circle, at t_min blurred by 0.01."""
    p, sde = Circle(2.0), VE()
    x = p.noised(0.01).to(torch.float64).sample((4,), generator=generator())
    assert float(errors(p, sde, x).abs().max()) < 1e-6


@pytest.mark.parametrize(("tolerance", "bound"), [(1e-3, 0.19), (1e-5, 1.8e-3), (1e-11, 1e-9)])
def test_the_error_follows_the_tolerance(tolerance, bound):
    """At 1e-8, the default, it is below 1e-6: see above."""
    assert float(errors(two_modes(), VP(), points(two_modes()), rtol=tolerance, atol=tolerance).abs().max()) < bound


def test_from_time_zero_it_is_the_clean_law():
    """Where the law has a density, nothing need be left out: sigma(0) = 0."""
    sde, x = VP(t_min=0.0), points(CORRELATED)
    found = log_likelihood(sde, CORRELATED.score, x)
    whole = found.log_prob + prior_mismatch(sde, CORRELATED, found.end)
    torch.testing.assert_close(whole, CORRELATED.log_prob(x), rtol=0, atol=1e-6)


class Straight:
    """An SDE of one's own, sigma(t) = 0.1 + 10 t and alpha = 1: no more than is asked for."""

    t_min = 0.0
    prior = isotropic([[0.0, 0.0]], 10.1)

    def alpha(self, t):
        return torch.ones_like(torch.as_tensor(t, dtype=torch.float64))

    def sigma(self, t):
        return 0.1 + 10 * torch.as_tensor(t, dtype=torch.float64)

    def drift(self, x, t):
        return torch.zeros_like(x)

    def diffusion(self, t):
        return (20 * self.sigma(t)).sqrt()


def test_an_sde_of_ones_own():
    x = points(CORRELATED)
    assert float(errors(CORRELATED, Straight(), x, rtol=1e-8, atol=1e-8).abs().max()) < 1e-6


@dataclass(frozen=True)
class WithoutTheHalf(VE):
    """g^2 where the flow has 1/2 g^2."""

    def diffusion(self, t):
        return 2**0.5 * super().diffusion(t)


def test_a_flow_without_its_half_is_seen():
    off = errors(CORRELATED, WithoutTheHalf(), points(CORRELATED), rtol=1e-6, atol=1e-6)
    assert float(off.abs().median()) > 1


@every_sde
def test_prior_mismatch_of_a_normal_law(sde):
    """log N(x; alpha m, alpha^2 v + sigma^2) - log N(x; 0, prior variance), by hand."""
    m, v, x = torch.tensor([1.0, -2.0]).double(), 0.5, 3 * points(CORRELATED)
    p = GaussianMixture([1.0], m[None], [[v, 0.0], [0.0, v]])
    alpha, sigma = float(sde.alpha(1.0)), float(sde.sigma(1.0))
    here, prior = alpha**2 * v + sigma**2, 400.0 if isinstance(sde, VE) else 1.0
    expected = (
        -math.log(here / prior) - (x - alpha * m).square().sum(-1) / (2 * here) + x.square().sum(-1) / (2 * prior)
    )
    torch.testing.assert_close(prior_mismatch(sde, p, x), expected, rtol=1e-10, atol=1e-12)


def test_any_network_has_a_density_that_integrates_to_one():
    """The flow of whatever field carries the prior to a law. Trapezoid rule, for a smooth density with small tails."""
    network = NoiseConditionalMLP(16, 2, data_std=1.0, generator=generator(1)).double()
    ticks = torch.linspace(-8, 8, 81, dtype=torch.float64)
    x = torch.cartesian_prod(ticks, ticks)
    found = log_likelihood(VE(0.5, 3.0), network, x, rtol=1e-7, atol=1e-7)
    assert float(found.log_prob.exp().sum()) * 0.2**2 == pytest.approx(1, abs=1e-5)
    assert not found.log_prob.requires_grad


def test_a_projection_is_enough_where_the_field_has_no_off_diagonal():
    p = GaussianMixture([1.0], [[1.0, -2.0]], [[0.5, 0.0], [0.0, 2.0]])
    x = points(p)
    settings = {"rtol": 1e-5, "atol": 1e-5}  # both take the same steps, whatever their size
    whole = log_likelihood(VP(), p.score, x, **settings)
    one = log_likelihood(VP(), p.score, x, trace=hutchinson(1, generator=generator(2)), **settings)
    torch.testing.assert_close(one.log_prob, whole.log_prob, rtol=1e-7, atol=1e-7)
    assert bool(one.standard_error.isnan().all())


def test_hutchinson_within_its_standard_error():
    """400 projections at each of 5 points: |z| < 5 for each, and a standard error that is half that of 100."""
    x = points(CORRELATED, 5)
    settings = {"rtol": 1e-6, "atol": 1e-6}
    whole = log_likelihood(VE(0.1, 10.0), CORRELATED.score, x, **settings)
    runs = [
        log_likelihood(VE(0.1, 10.0), CORRELATED.score, x, trace=hutchinson(m, generator=generator(3)), **settings)
        for m in (100, 400)
    ]
    z = (runs[1].log_prob - whole.log_prob) / runs[1].standard_error
    assert float(z.abs().max()) < 5
    assert float(z.abs().max()) > 0.1
    torch.testing.assert_close(
        runs[0].standard_error / runs[1].standard_error, torch.full((5,), 2.0).double(), rtol=0.2, atol=0
    )


def test_the_generator_is_all_the_randomness_there_is():
    before, x = torch.get_rng_state(), points(CORRELATED, 5)

    def run(seed):
        trace = hutchinson(3, generator=generator(seed))
        return log_likelihood(VP(), CORRELATED.score, x, trace=trace, rtol=1e-2, atol=1e-2).log_prob

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_single_precision_with_a_tolerance_within_its_reach():
    x, sde = points(CORRELATED), VP()
    single = log_likelihood(sde, CORRELATED.score, x.float(), rtol=1e-4, atol=1e-4)
    assert single.log_prob.dtype == single.end.dtype == torch.float32
    double = log_likelihood(sde, CORRELATED.score, x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(single.log_prob.double(), double.log_prob, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"sde": VP}, TypeError, "sde is the class VP"),
        ({"score": 1.0}, TypeError, "score is a float"),
        ({"score": ScoreMLP(8, generator=generator()).double()}, TypeError, r"cannot be called as score\(x, sigma\)"),
        ({"x": torch.zeros(3, 3)}, ValueError, "x has shape"),
        ({"x": torch.tensor([[0.0, 0.0], [math.nan, 0.0]]).double()}, ValueError, "x holds 1 points that are nan"),
        ({"x": torch.zeros(3, 2)}, ValueError, "rtol is 1e-08, finer than torch.float32 can resolve.*by .double"),
        ({"trace": 8}, TypeError, "trace is a int"),
        ({"rtol": 0.0}, ValueError, "rtol is 0"),
        ({"max_evaluations": 20}, RuntimeError, r"max_evaluations = 20 evaluations: .*Raise rtol"),
        ({"score": lambda x, sigma: x / 0}, FloatingPointError, "nan or inf at 30 of 30 points, at t = 0.001"),
    ],
    ids=lambda value: "",
)
def test_bad_input_is_refused(bad, error, message):
    arguments = {"sde": VP(), "score": CORRELATED.score, "x": points(CORRELATED), **bad}
    with pytest.raises(error, match=message):
        log_likelihood(**arguments)


def test_prior_mismatch_asks_for_the_law_and_not_its_score():
    with pytest.raises(TypeError, match="density is a (method|function): give the true law"):
        prior_mismatch(VP(), CORRELATED.score, TAILS)


def test_no_projections_are_refused():
    with pytest.raises(ValueError, match="n_projections is 0"):
        hutchinson(0)


def test_an_exact_trace_is_one_estimate():
    values, estimates = exact_trace(TAILS)(CORRELATED.score, TAILS)
    assert values.shape == (4, 2)
    torch.testing.assert_close(estimates, CORRELATED.divergence(TAILS)[None])
