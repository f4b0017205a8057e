"""The bound on -E log q of a diffusion model, against models whose law is known.

By time reversal the gap of the bound is 1/2 int g^2 E_p|s_t - grad log q_t|^2 dt, q_t the law of the reverse SDE; for
the score of a diffusion that ends in the prior it is 0, and the bound is KL(p || q) itself.
"""

import math
from dataclasses import dataclass

import pytest
import scipy.integrate
import torch

from toylab.densities import Circle, GaussianMixture, Square, isotropic
from toylab.metrics import LikelihoodBound, entropy, flow_kl_divergence, kl_divergence, likelihood_bound
from toylab.networks import NoiseConditionalMLP
from toylab.samplers import log_likelihood
from toylab.sde import VE, VP, SubVP

A = GaussianMixture(
    [0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]]
).to(torch.float64)  # fmt: skip
B = GaussianMixture(
    [0.5, 0.5], [[-1.0, 0.5], [1.5, 0.0]], [[[0.8, -0.2], [-0.2, 0.6]], [[1.0, 0.1], [0.1, 0.4]]]
).to(torch.float64)  # fmt: skip


def normal(std=1.0, mean=(0.0, 0.0)):
    return isotropic([list(mean)], std).to(torch.float64)


def kl_of_normals(m, v, n, w):
    """KL(N(m, v I) || N(n, w I)), d = 2."""
    return v / w - 1 - math.log(v / w) + math.dist(m, n) ** 2 / (2 * w)


@dataclass(frozen=True)
class EndingIn:
    """An SDE whose prior is what it makes of the law q, so that its model with the score of q is q itself."""

    sde: object
    q: object

    def __getattr__(self, name):
        return getattr(object.__getattribute__(self, "sde"), name)

    @property
    def prior(self):
        return self.q.scaled(float(self.sde.alpha(1.0))).noised(float(self.sde.sigma(1.0)))


SDES = {"VE": VE(0.05, 5.0), "VP": VP(), "sub-VP": SubVP(), "VP from 0": VP(t_min=0.0)}
every_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)


@every_sde
def test_for_the_score_of_another_law_it_is_the_divergence_from_that_law(sde):
    """KL(p || q) = 1/2 int g^2 E|s_p - s_q|^2 dt + KL(p_1 || q_1), both sides by quadrature that share no formula."""
    bound = likelihood_bound(EndingIn(sde, B), B.score, A)
    level, alpha = float(sde.sigma(sde.t_min) / sde.alpha(sde.t_min)), float(sde.alpha(sde.t_min))
    assert bound.kl == pytest.approx(kl_divergence(A, B, level), abs=1e-9)
    p = A.scaled(alpha).noised(float(sde.sigma(sde.t_min))) if level > 0 else A
    assert bound.entropy == pytest.approx(entropy(p), abs=1e-9)
    assert bound.cross_entropy == pytest.approx(bound.entropy + bound.score_error + bound.prior)
    assert bound.score_error > 1.5  # most of it


def test_and_the_flow_has_that_law():
    """A normal law from the mixture, to keep the grid small."""
    sde, p = EndingIn(VP(), B), normal(1.2, (0.5, 0.0))
    found = flow_kl_divergence(sde, B.score, p)
    assert found == pytest.approx(likelihood_bound(sde, B.score, p).kl, abs=1e-8)


@pytest.mark.parametrize(("mean", "std"), [((0.0, 0.0), 0.5), ((0.7, -0.4), 1.5)])
def test_a_normal_law_under_the_stationary_score_of_vp(mean, std):
    """VP keeps N(0, I), its prior: with s_t(x) = -x, the score of N(0, I), the model is N(0, I) and nothing is lost."""
    sde, p = VP(), normal(std, mean)
    bound = likelihood_bound(sde, normal().score, p)
    a, s = float(sde.alpha(sde.t_min)), float(sde.sigma(sde.t_min))
    expected = kl_of_normals([a * m for m in mean], (a * std) ** 2 + s**2, (0, 0), 1.0)
    assert bound.kl == pytest.approx(expected, abs=1e-9)
    assert flow_kl_divergence(sde, normal().score, p) == pytest.approx(expected, abs=1e-8)
    v = (float(sde.alpha(1.0)) * std) ** 2 + float(sde.sigma(1.0)) ** 2
    end = kl_of_normals([float(sde.alpha(1.0)) * m for m in mean], v, (0, 0), 1.0)
    assert bound.prior == pytest.approx(end, abs=1e-12)


def test_what_a_wrong_prior_makes_of_the_flow():
    """Of VE with sigma_max = 3 the prior is wrong, and bound and flow differ by what q_1 / prior has on two laws.

    The bound is KL(p || q) + E_(p_1) log q_1 / prior, the flow's divergence KL(p || q) + E log (q_1 / prior)(x_1) with
    x_1 = x ((c^2 + sigma_max^2) / (c^2 + sigma_min^2))^(1/2): the flow of a Gaussian q is linear.
    """
    sde, a, c = VE(0.05, 3.0), 0.6, 1.4
    p, q = normal(a), normal(c)
    v0, w0, v1, w1 = a**2 + 0.05**2, c**2 + 0.05**2, a**2 + 9, c**2 + 9

    def log_ratio(v):
        """E log q_1 / prior under N(0, v I)."""
        return math.log(9 / w1) + v / 9 - v / w1

    bound, flow = likelihood_bound(sde, q.score, p), flow_kl_divergence(sde, q.score, p)
    kl = kl_of_normals((0, 0), v0, (0, 0), w0)
    assert bound.kl == pytest.approx(kl + log_ratio(v1), abs=1e-9)
    assert flow == pytest.approx(kl + log_ratio(v0 * w1 / w0), abs=1e-8)
    assert bound.kl - flow == pytest.approx(log_ratio(v1) - log_ratio(v0 * w1 / w0), abs=1e-8)
    assert bound.kl - flow > 0.01


@pytest.mark.parametrize("k", [0.5, 0.9, 1.0, 1.3])
def test_the_gap_of_a_score_of_no_diffusion(k):
    """s(x, l) = -k x / (1 + l^2), k times the true score of N(0, I), under VE.

    The reverse SDE keeps Gaussians: along tau = sigma^2 the variance v of q_t obeys dv/dtau = 2 k v / (1 + tau) - 1,
    v = sigma_max^2 at the end. The gap, bound - KL(p || q), is int (1 / v - k / (1 + tau))^2 (1 + tau) dtau (d = 2).
    The flow has another variance: w' = k w / (1 + tau), with nothing to be guaranteed of its divergence.
    """
    sde, p = VE(0.05, 8.0), normal()
    low, high = 0.05**2, 8.0**2
    bound = likelihood_bound(sde, lambda x, sigma: -k * x / (1 + sigma**2), p)
    found = scipy.integrate.solve_ivp(
        lambda tau, v: 2 * k * v / (1 + tau) - 1, (high, low), [high], method="DOP853", rtol=1e-12, atol=1e-12,
        dense_output=True,
    )  # fmt: skip
    v0 = float(found.y[0, -1])
    gap = scipy.integrate.quad(
        lambda tau: (1 / found.sol(tau)[0] - k / (1 + tau)) ** 2 * (1 + tau), low, high, epsabs=1e-10, limit=200
    )[0]
    # in closed form the parts are J = (k - 1)^2 / (1 + tau), hence
    assert bound.score_error == pytest.approx((k - 1) ** 2 * math.log((1 + high) / (1 + low)), abs=1e-9)
    assert bound.prior == pytest.approx(kl_of_normals((0, 0), 1 + high, (0, 0), high), abs=1e-10)
    assert bound.kl - kl_of_normals((0, 0), 1 + low, (0, 0), v0) == pytest.approx(gap, abs=1e-8)
    assert gap > (1e-3 if k != 1 else 1e-5)
    w0 = high * ((1 + low) / (1 + high)) ** k
    flow = flow_kl_divergence(sde, lambda x, sigma: -k * x / (1 + sigma**2), p)
    assert flow == pytest.approx(kl_of_normals((0, 0), 1 + low, (0, 0), w0), abs=1e-8)


def test_the_likelihood_of_the_flow_is_the_same_point_by_point():
    """What the divergence averages: log q of N(0, w I) in closed form, with the score of the test above, k = 0.9."""
    sde, low, high, k = VE(0.05, 8.0), 0.05**2, 8.0**2, 0.9
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0]], dtype=torch.float64)
    w = high * ((1 + low) / (1 + high)) ** k
    found = log_likelihood(sde, lambda x, sigma: -k * x / (1 + sigma**2), x).log_prob
    torch.testing.assert_close(found, -x.square().sum(-1) / (2 * w) - math.log(2 * math.pi * w), rtol=0, atol=1e-7)


def test_a_law_without_a_density_has_a_bound_where_noise_begins():
    """The exact score of a circle: what is left is the prior's error."""
    p = Circle(1.5)
    bound = likelihood_bound(VE(0.3, 10.0), p.score, p)
    assert bound.score_error == pytest.approx(0, abs=1e-10)
    assert bound.prior == pytest.approx(kl_divergence(p.noised(10.0), normal(10.0)), abs=1e-9)
    with pytest.raises(ValueError, match="no density"):
        likelihood_bound(VP(t_min=0.0), p.score, p)


@pytest.mark.parametrize("p", [normal().truncated((0.0, 2.0, -1.0, 3.0)), Square(0.0, 2.0).shifted([1.0, 0.0])])
@pytest.mark.parametrize("measure", [likelihood_bound, flow_kl_divergence])
def test_a_wall_that_is_too_sharp_is_named(measure, p):
    with pytest.raises(ValueError, match=r"ends at a wall, which the noise at t_min, of level 0.0001, hardly .* nodes"):
        measure(VE(1e-4, 10.0), p.score, p)


def test_what_has_no_wall_is_not_said_to_have_one():
    with pytest.raises(ValueError, match=r"^(?!.*wall, which)"):
        likelihood_bound(VE(), lambda x, sigma: x * math.nan, normal())


def test_a_network_in_single_precision():
    """Its rounding does not keep the integral from settling; in double it is the same to 1e-5."""
    network = NoiseConditionalMLP(16, 2, generator=torch.Generator().manual_seed(0))
    found = likelihood_bound(VE(0.1, 10.0), network, A.to(torch.float32))
    again = likelihood_bound(VE(0.1, 10.0), network.double(), A)
    assert found.score_error == pytest.approx(again.score_error, rel=1e-5)


def test_bad_scores_are_told():
    with pytest.raises(ValueError, match="score is nan or inf"):
        likelihood_bound(VP(), lambda x, sigma: x * math.nan, A)
    with pytest.raises(ValueError, match="has not settled"):
        likelihood_bound(VE(), lambda x, sigma: x * math.sin(900 / sigma), normal())
    with pytest.raises(TypeError, match="density is a function"):
        likelihood_bound(VP(), A.score, lambda x: x)
    with pytest.raises(TypeError, match="sde is the class VP"):
        flow_kl_divergence(VP, A.score, A)


def test_how_it_is_shown():
    shown = str(LikelihoodBound(1.0, 0.25, 0.125))
    assert "at most 1.3750" in shown
    assert "0.25" in shown
    assert "1.3750" in LikelihoodBound(1.0, 0.25, 0.125)._repr_html_()
