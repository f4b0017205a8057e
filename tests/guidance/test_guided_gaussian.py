"""What guidance samples from where everything is normal: p(x|c) = N(0, v_c I) and p(x) = N(0, v_u I), noise variance t.

The guided score is s = -a x with a(t) = (1 - w) / (v_u + t) + w / (v_c + t). Down from the law of infinite noise the
variance V obeys V' = a V along the flow and V' = 2 a V - 1 along the reverse SDE, and so ends at

    v_u^(1 - w) v_c^w      and      (v_u v_c - v_u^(2 - 2w) v_c^(2w)) / ((2w - 1) (v_u - v_c)),

where the tilted law p(x) p(c|x)^w has 1 / a(0). From N(0, T I) at noise T down to noise t, with H' = a H, they are
V = T H(t) / H(T) and V = H(t)^2 (T / H(T)^2 + int_t^T H^-2), H = (v_u + t)^(1 - w) (v_c + t)^w. The samplers are linear
maps, whose variance after n steps is exact.
"""

import math

import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import chi2

from toylab import samplers, schedules
from toylab.densities import isotropic
from toylab.guidance import classifier_free
from toylab.samplers import log_likelihood
from toylab.score import at
from toylab.sde import VE

WEIGHTS = (0.7, 2.0, 3.0)
LAWS = ((1.0, 2.0), (0.5, 3.0), (2.0, 1.0))  # v_c and v_u
EVERY = pytest.mark.parametrize(("v_c", "v_u"), LAWS)
SDE = VE(1e-3, 1e3)


def guided(v_c, v_u, w):
    conditional, unconditional = (isotropic([[0.0, 0.0]], v**0.5).score for v in (v_c, v_u))
    return classifier_free(conditional, unconditional, w)


def pull(v_c, v_u, w, t):
    """a."""
    return (1 - w) / (v_u + t) + w / (v_c + t)


def by_the_flow(v_c, v_u, w):
    return v_u ** (1 - w) * v_c**w


def by_the_reverse_sde(v_c, v_u, w):
    return (v_u * v_c - v_u ** (2 - 2 * w) * v_c ** (2 * w)) / ((2 * w - 1) * (v_u - v_c))


def between_by_the_flow(v_c, v_u, w, sde):
    t, T = sde.sigma_min**2, sde.sigma_max**2
    return T * by_the_flow(v_c + t, v_u + t, w) / by_the_flow(v_c + T, v_u + T, w)


def between_by_the_reverse_sde(v_c, v_u, w, sde):
    """The integral is that of r^(2w - 2) dr / (v_u - v_c) with r = (v_u + t) / (v_c + t)."""
    t, T = sde.sigma_min**2, sde.sigma_max**2
    h_t, h_T = by_the_flow(v_c + t, v_u + t, w), by_the_flow(v_c + T, v_u + T, w)
    near, far = (((v_u + s) / (v_c + s)) ** (2 * w - 1) for s in (t, T))
    return h_t**2 * (T / h_T**2 + (near - far) / ((2 * w - 1) * (v_u - v_c)))


def test_the_numbers_of_the_standard_case():
    assert [by_the_flow(1, 2, 3), by_the_reverse_sde(1, 2, 3), 1 / pull(1, 2, 3, 0)] == [0.25, 0.3875, 0.5]
    for w in WEIGHTS:
        assert by_the_flow(1, 2, w) == pytest.approx(2 ** (1 - w), rel=1e-14)
        assert by_the_reverse_sde(1, 2, w) == pytest.approx((2 - 2 ** (2 - 2 * w)) / (2 * w - 1), rel=1e-14)
        for law in (by_the_flow, by_the_reverse_sde):  # w = 1 is the class, w = 0 all of them
            assert law(0.5, 3.0, 1) == pytest.approx(0.5, rel=1e-14)
            assert law(0.5, 3.0, 0) == pytest.approx(3.0, rel=1e-14)


@pytest.mark.parametrize("w", WEIGHTS)
@EVERY
def test_the_formulas_solve_their_equations(v_c, v_u, w):
    """From t = 1e9, in log t; the start is wrong by a share of 1e-9 times a few."""

    def rates(log_t, v):
        t = math.exp(log_t)
        a = pull(v_c, v_u, w, t)
        return [t * a * v[0], t * (2 * a * v[1] - 1)]

    ends = (math.log(1e9), math.log(1e-12))
    found = solve_ivp(rates, ends, [1e9, 1e9], method="DOP853", rtol=1e-11, atol=1e-14).y[:, -1]
    exact = [by_the_flow(v_c, v_u, w), by_the_reverse_sde(v_c, v_u, w)]
    assert found == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("w", WEIGHTS)
@EVERY
def test_the_flow_ends_there(v_c, v_u, w):
    """It is linear: one point says by how much it scales the prior."""
    x = torch.ones(1, 2, dtype=torch.float64)
    end = samplers.probability_flow_adaptive(
        SDE, guided(v_c, v_u, w), x, 1.0, 0.0, rtol=1e-9, atol=1e-12, progress=False
    ).samples
    variance = (end.square() * SDE.sigma_max**2).tolist()[0]
    exact = between_by_the_flow(v_c, v_u, w, SDE)
    assert variance == pytest.approx([exact, exact], rel=1e-7)
    assert exact == pytest.approx(by_the_flow(v_c, v_u, w), rel=2e-5)  # its first-order term in 1 / T and in t


@pytest.mark.parametrize("w", WEIGHTS)
def test_the_reverse_sde_ends_there(w):
    """The variance of n draws along two axes against that of the steps: 1e-8 of failing by chance in each, by chi^2.

    With 40,000 chains that is 2 %, where the three laws of w = 3 are apart by 22 % and more.
    """
    v_c, v_u, n = 1.0, 2.0, 40_000
    times = schedules.uniform(1.0, 0.0, 81)
    generator = torch.Generator().manual_seed(0)
    start = SDE.prior.sample((n,), generator=generator)
    end = samplers.reverse_sde(SDE, guided(v_c, v_u, w), start, times, generator=generator, progress=False).samples
    ratio = float(end.double().square().sum()) / after_steps(v_c, v_u, w, 80)
    low, high = chi2.ppf([5e-9, 1 - 5e-9], 2 * n)
    assert low < ratio < high


def after_steps(v_c, v_u, w, n):
    """The variance after n steps of Euler-Maruyama along equal steps of time, from the prior: exact."""
    growth = 2 * math.log(SDE.sigma_max / SDE.sigma_min)  # of sigma^2 per time
    variance, h = SDE.sigma_max**2, 1 / n
    for k in range(n):
        t = SDE.sigma_max**2 * math.exp(-growth * k * h)
        noise = h * growth * t  # h g^2
        variance = (1 - noise * pull(v_c, v_u, w, t)) ** 2 * variance + noise
    return variance


@pytest.mark.parametrize("w", WEIGHTS)
@EVERY
def test_small_steps_of_the_reverse_sde_end_there(v_c, v_u, w):
    """At order 1: extrapolated from two numbers of steps, what is left is gone."""
    exact = between_by_the_reverse_sde(v_c, v_u, w, SDE)
    few, many = (after_steps(v_c, v_u, w, n) for n in (10_000, 20_000))
    assert 2 * many - few == pytest.approx(exact, rel=1e-6)
    assert abs(many - exact) > 10 * abs(2 * many - few - exact)  # it is the term of order 1 that is gone
    assert exact == pytest.approx(by_the_reverse_sde(v_c, v_u, w), rel=2e-5)


@pytest.mark.parametrize("w", WEIGHTS)
def test_its_likelihood_is_the_density_of_where_the_flow_ends(w):
    sde = VE(0.1, 10.0)
    ends = isotropic([[0.0, 0.0]], between_by_the_flow(1.0, 2.0, w, sde) ** 0.5)
    x = torch.tensor([[0.0, 0.0], [1.0, -0.5]], dtype=torch.float64)
    found = log_likelihood(sde, guided(1.0, 2.0, w), x, rtol=1e-6, atol=1e-6).log_prob
    torch.testing.assert_close(found, ends.log_prob(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("w", WEIGHTS)
def test_at_one_level_it_is_the_score_of_the_tilted_law(w):
    x = torch.randn(10, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tilted = isotropic([[0.0, 0.0]], pull(1.0, 2.0, w, 0.25) ** -0.5)
    torch.testing.assert_close(at(guided(1.0, 2.0, w), 0.5)(x), tilted.score(x), rtol=1e-12, atol=1e-12)
