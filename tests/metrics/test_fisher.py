"""The Fisher divergence by quadrature, by Monte Carlo and by region, against closed forms."""

import math

import pytest
import scipy.integrate
import torch

from toylab.densities import Circle, isotropic, two_modes
from toylab.metrics import fisher_divergence, fisher_divergence_by_region, fisher_divergence_monte_carlo
from toylab.networks import NoiseConditionalMLP, ScoreMLP

NORMAL = isotropic([[0.0, 0.0]], 1.0)
BOX = (-10.0, 10.0, -10.0, 10.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_score_that_cannot_be_called_is_refused():
    for measure in (fisher_divergence, lambda score, p: fisher_divergence_monte_carlo(score, p, 10)):
        with pytest.raises(TypeError, match=r"score is a GaussianMixture: give a function, for example p\.score"):
            measure(NORMAL, NORMAL)
        with pytest.raises(TypeError, match=r"fix its noise level by toylab\.score\.at\(score, sigma\)"):
            measure(NoiseConditionalMLP(8, 2, generator=generator()), NORMAL)


def linear(a):
    return lambda x: -a * x


@pytest.mark.parametrize("sigma", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("a", [0.0, 0.5, 1.0, 1.5])
def test_quadrature_on_a_normal_law(a, sigma):
    """-a x on N(0, v I), v = 1 + sigma^2: 1/2 E|(1/v - a) x|^2 = v (a - 1/v)^2. The field is evaluated in float32."""
    v = 1 + sigma**2
    right = v * (a - 1 / v) ** 2
    assert fisher_divergence(linear(a), NORMAL, sigma) == pytest.approx(right, rel=1e-5, abs=1e-12)
    in_double = fisher_divergence(linear(a), NORMAL.to(torch.float64), sigma)
    assert in_double == pytest.approx(right, rel=1e-9, abs=1e-12)


def test_quadrature_on_two_modes():
    """The zero field has 1/2 I, which is 1 to the mass between the modes; a constant shift c of the truth |c|^2 / 2."""
    assert fisher_divergence(torch.zeros_like, two_modes()) == pytest.approx(1.0, abs=2e-9)
    p = two_modes().to(torch.float64)
    shift = torch.tensor([0.3, -0.4], dtype=torch.float64)
    assert fisher_divergence(lambda x: p.score(x) + shift, p) == pytest.approx(0.125, rel=1e-9)


def test_quadrature_needs_a_density():
    with pytest.raises(ValueError):
        fisher_divergence(torch.zeros_like, Circle())
    # |score|^2 of a noised circle of radius 2 at sigma .5: by the radial integral
    p = Circle(radius=2.0)
    r = torch.linspace(1e-6, 7, 20_001, dtype=torch.float64)
    x = torch.stack([r, torch.zeros_like(r)], -1)
    f = 0.5 * p.score(x, 0.5).square().sum(-1) * p.log_prob(x, 0.5).exp() * 2 * math.pi * r
    right = float(scipy.integrate.simpson(f.numpy(), x=r.numpy()))
    assert fisher_divergence(torch.zeros_like, p, 0.5) == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_monte_carlo_agrees_and_knows_its_error(sigma):
    """The loss is (v/2) (a - 1/v)^2 times a chi-square of 2 degrees: mean and standard deviation are both J."""
    n, a, v = 40_000, 0.5, 1 + sigma**2
    J = v * (a - 1 / v) ** 2
    estimate = fisher_divergence_monte_carlo(linear(a), NORMAL, n, sigma, generator=generator(1))
    assert abs(estimate.value - J) < 5 * J / math.sqrt(n)
    # the sample variance of an exponential law (kurtosis 9) has relative SE sqrt(8 / n): its root half of that
    assert abs(estimate.standard_error * math.sqrt(n) / J - 1) < 5 * 0.5 * math.sqrt(8 / n)


def test_monte_carlo_error_bars_cover():
    """200 estimates of 500 points: z = (value - J) / SE has mean 0 and variance 1.

    With x = m + z near a mode m, -x/2 - (m - x) = (z - m)/2: J = 1/2 (50 + 2) / 4 = 6.5. The squares are nearly
    normal (|m|^2 = 50), so that the variance of 200 z is known to sqrt(2 / 200) = .1.
    """
    assert fisher_divergence(linear(0.5), two_modes().to(torch.float64)) == pytest.approx(6.5, rel=1e-7)
    estimates = [
        fisher_divergence_monte_carlo(linear(0.5), two_modes(), 500, generator=generator(seed)) for seed in range(200)
    ]
    z = torch.tensor([(e.value - 6.5) / e.standard_error for e in estimates])
    assert abs(float(z.mean())) < 5 / math.sqrt(200)
    assert abs(float(z.var()) - 1) < 5 * math.sqrt(2 / 200)


def test_monte_carlo_generator_rules():
    before = torch.get_rng_state()
    one, same, other = (
        fisher_divergence_monte_carlo(linear(0.5), NORMAL, 50, generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert one == same != other
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="n is 1"):
        fisher_divergence_monte_carlo(linear(0.5), NORMAL, 1)


@pytest.mark.parametrize("mass", [0.5, 0.95])
def test_by_region_on_a_normal_law(mass):
    """The region is the disc |x|^2 / 2 < e = -log(1 - mass), and |x|^2 / 2 is exponential.

    Only cells on the border can be counted on the wrong side: their mass, 8 R h (1 - mass) / (2 pi) < .02 with
    h = 12/500, times the change of |x|^2 / 2 across one, R h < .06, is an error below .0012 of a sum of .15 or more.
    """
    a, half_side = 0.5, 6.0
    e = -math.log(1 - mass)
    box = (-half_side, half_side, -half_side, half_side)
    result = fisher_divergence_by_region(linear(a), NORMAL.to(torch.float64), box, mass=mass)
    c = (1 - a) ** 2  # the loss is c |x|^2 / 2
    assert result.overall == pytest.approx(c, rel=1e-9)
    assert mass <= result.mass < mass + (12 / 500) ** 2 / (2 * math.pi)  # at most one cell too many
    assert result.inside == pytest.approx(c * (1 - (1 + e) * (1 - mass)) / mass, abs=0.0012 * c / mass)
    assert result.outside == pytest.approx(c * (1 + e), abs=0.0012 * c / (1 - mass))
    area, disc = (2 * half_side) ** 2, math.pi * 2 * e
    over_area = (8 * half_side**4 / 3 - math.pi * (2 * e) ** 2 / 2) / (area - disc)
    assert result.outside_area == pytest.approx(c / 2 * over_area, rel=1e-3)
    total = result.mass * result.inside + (1 - result.mass) * result.outside
    assert total == pytest.approx(result.overall, rel=1e-6)  # the box leaves out a mass of 4e-9


def test_by_region_of_a_network_is_consistent():
    network = ScoreMLP(16, generator=generator())
    result = fisher_divergence_by_region(network, two_modes(), (-12.0, 12.0, -12.0, 12.0))
    assert 0.95 <= result.mass < 0.951
    total = result.mass * result.inside + (1 - result.mass) * result.outside
    assert total == pytest.approx(result.overall, rel=1e-5)  # the field in float32
    assert result.overall == pytest.approx(fisher_divergence(network, two_modes()), rel=1e-12)


def test_by_region_at_a_noise_level():
    """N(0, 5 I) at sigma 2: the truth is -x / 5, and the region's mass is counted under the noised law."""
    result = fisher_divergence_by_region(linear(0.0), NORMAL.to(torch.float64), (-20.0, 20.0, -20.0, 20.0), sigma=2.0)
    assert result.overall == pytest.approx(1 / 5, rel=1e-9)
    assert result.outside == pytest.approx((1 - math.log(0.05)) / 5, rel=0.005)


def test_by_region_refuses():
    with pytest.raises(ValueError, match="holds only"):
        fisher_divergence_by_region(linear(1.0), NORMAL, (-1.0, 1.0, -1.0, 1.0))
    for mass in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="mass is"):
            fisher_divergence_by_region(linear(1.0), NORMAL, BOX, mass=mass)
