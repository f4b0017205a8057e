"""What every SDE must satisfy: its f and g are those of its alpha and sigma. A new one adds one line to SDES."""

import math

import pytest
import torch

from toylab.densities import GaussianMixture, two_modes
from toylab.metrics import posterior_covariance_at, posterior_mean_at
from toylab.score import gradient
from toylab.sde import SDE, VE, VP, SubVP, plain_noise, require_sde, score_at
from toylab.testing import check_sde

SDES = {
    "VE": VE(),
    "VE, narrow": VE(0.1, 3.0),
    "VP": VP(),
    "VP, slow": VP(0.5, 5.0, t_min=0.01),
    "sub-VP": SubVP(),
    "sub-VP, slow": SubVP(0.5, 5.0, t_min=0.01),
}
every_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
T = torch.linspace(0.001, 1.0, 200, dtype=torch.float64)


def rate(f, t):
    """f'(t), by forward-mode differentiation."""
    return torch.func.jvp(f, (t,), (torch.ones_like(t),))[1]


def drift_rate(sde, t):
    """The f(t) of f(t) x."""
    return sde.drift(torch.ones(*t.shape, 2, dtype=t.dtype), t)[..., 0]


@every_sde
def test_alpha_moves_with_the_drift(sde):
    """alpha' = f alpha."""
    torch.testing.assert_close(rate(sde.alpha, T), drift_rate(sde, T) * sde.alpha(T), rtol=1e-12, atol=1e-13)


@every_sde
def test_the_variance_moves_with_drift_and_diffusion(sde):
    """(sigma^2)' = 2 f sigma^2 + g^2."""
    left = rate(lambda t: sde.sigma(t) ** 2, T)
    right = 2 * drift_rate(sde, T) * sde.sigma(T) ** 2 + sde.diffusion(T) ** 2
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


@every_sde
def test_it_is_of_one_piece(sde):
    """As anybody's SDE is checked: coarser than the two above, and with the prior."""
    assert check_sde(sde).passed


@every_sde
def test_the_drift_is_linear_in_x_and_keeps_its_shape(sde):
    x = torch.randn(7, 3, 2, generator=torch.Generator().manual_seed(0))
    assert sde.drift(x, 0.4).shape == x.shape
    assert sde.drift(x, 0.4).dtype == x.dtype
    torch.testing.assert_close(sde.drift(3 * x, 0.4), 3 * sde.drift(x, 0.4))
    one_a_point = torch.linspace(0.1, 0.9, 21).view(7, 3)
    each = torch.stack([sde.drift(y, float(t)) for y, t in zip(x.view(-1, 2), one_a_point.view(-1), strict=True)])
    torch.testing.assert_close(sde.drift(x, one_a_point), each.view(7, 3, 2))


@every_sde
def test_time_of_is_the_inverse(sde):
    levels = sde.sigma(T) / sde.alpha(T)
    assert (levels.diff() > 0).all()
    torch.testing.assert_close(sde.time_of(levels), T, rtol=1e-12, atol=1e-13)
    for t in (0.002, 0.3, 1.0):
        assert float(sde.time_of(float(sde.sigma(t) / sde.alpha(t)))) == pytest.approx(t, rel=1e-12)


@every_sde
def test_a_level_that_no_time_has_is_refused(sde):
    beyond = 1.01 * float(sde.sigma(1.0) / sde.alpha(1.0))
    for level in (beyond, torch.tensor([0.5, beyond])):
        with pytest.raises(ValueError, match=r"level is .*takes no such value for t in \[0, 1\]"):
            sde.time_of(level)
    with pytest.raises(ValueError, match="level is 0"):
        sde.time_of(0)


@every_sde
def test_numbers_and_tensors_agree(sde):
    for f in (sde.alpha, sde.sigma, sde.diffusion):
        assert f(0.3).shape == ()
        assert f(0.3).dtype == torch.float64
        assert float(f(0.3)) == float(f(torch.tensor([0.3], dtype=torch.float64))[0])
        assert f(torch.zeros(4, 5)).shape == (4, 5)
        assert f(torch.full((3,), 0.5)).dtype == torch.float32
        with pytest.raises(ValueError, match="t is nan"):
            f(math.nan)


@every_sde
def test_the_score_at_a_time_is_that_of_the_noised_law(sde):
    """s_t is the gradient of log p_t, p_t the law of alpha X + sigma Z; also with one time a point."""
    p = two_modes()
    x = 3 * torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    times = torch.linspace(0.05, 1, 40, dtype=torch.float64)
    for t in (sde.t_min + 1e-3, 0.2, 1.0):
        density = p.scaled(float(sde.alpha(t))).noised(float(sde.sigma(t)))
        # x is carried to where the law lives, from its scale at t = 1
        y = x * float(sde.alpha(t) + sde.sigma(t))
        expected = gradient(density.log_prob, y)
        torch.testing.assert_close(score_at(sde, p.score, t)(y), expected, rtol=1e-9, atol=1e-9)
    each = torch.stack([score_at(sde, p.score, float(t))(y) for y, t in zip(x, times, strict=True)])
    torch.testing.assert_close(score_at(sde, p.score, times)(x), each, rtol=1e-12, atol=1e-12)


@every_sde
def test_the_prior_has_the_noise_of_the_end(sde):
    assert isinstance(sde.prior, GaussianMixture)
    v = float(sde.prior.covariances[0, 0, 0])
    assert v == pytest.approx(sde.sigma_max**2 if isinstance(sde, VE) else 1.0, rel=1e-12)
    assert (
        abs(v / float(sde.sigma(1.0)) ** 2 - 1) <= 2.5 * float(sde.alpha(1.0)) ** 2 * (not isinstance(sde, VE)) + 1e-12
    )
    assert sde.prior.sample((5,)).shape == (5, 2)


@every_sde
def test_it_is_an_sde(sde):
    assert isinstance(sde, SDE)
    assert require_sde(sde) is sde
    assert 0 <= sde.t_min < 1


def test_values():
    """Of the VP and sub-VP of the literature at both ends, from B(1) = 10.05 and B(1e-5) = 1.001e-6."""
    assert float(VP().alpha(1.0)) == pytest.approx(math.exp(-5.025), rel=1e-13)
    assert float(VP().alpha(1.0)) == pytest.approx(0.0065716, abs=5e-8)
    assert float(VP().sigma(1.0)) == pytest.approx(0.9999784, abs=5e-8)
    assert float(SubVP().sigma(1.0)) == pytest.approx(0.9999568, abs=5e-8)
    assert float(VP().sigma(1e-5)) == pytest.approx(1.0005e-3, rel=1e-4)
    assert float(SubVP().sigma(1e-5)) == pytest.approx(1.001e-6, rel=1e-4)
    assert (float(VE().sigma(0.0)), float(VE().sigma(1.0))) == pytest.approx((0.01, 20.0), rel=1e-14)
    assert float(VE().diffusion(1.0)) == pytest.approx(20 * math.sqrt(2 * math.log(2000)), rel=1e-14)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: VE(0.0, 1.0), "sigma_min is 0.0"),
        (lambda: VE(2.0, 1.0), "sigma_max is 1.0 and sigma_min is 2.0: the noise must grow"),
        (lambda: VP(0.0), "beta_min is 0.0"),
        (lambda: VP(2.0, 1.0), "beta_max is 1.0 and beta_min is 2.0: beta grows"),
        (lambda: VP(t_min=1.0), r"t_min is 1.0: it must lie in \[0, 1\)"),
        (lambda: SubVP(t_min=-0.1), "t_min is -0.1"),
        (lambda: SubVP(0.1, math.inf), "beta_max is inf"),
    ],
)
def test_bad_values_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("given", "said"), [(VP, "the class VP"), (0.5, "a float"), (two_modes(), "a GaussianMixture")]
)
def test_what_is_no_sde_is_refused(given, said):
    with pytest.raises(TypeError, match=f"sde is {said}: give an SDE such as VE"):
        require_sde(given)


@pytest.mark.parametrize("t", [-0.5, 5.0, math.nan, torch.tensor([0.5, 1.5])], ids=["before", "after", "nan", "one"])
@every_sde
def test_times_outside_are_refused(sde, t):
    """By the score at a time and by all that is built on it."""
    p, x = two_modes(), torch.zeros(2, 2)
    for call in (
        lambda: score_at(sde, p.score, t)(x),
        lambda: plain_noise(sde, x, t),
        lambda: posterior_mean_at(sde, p.score, x, t),
        lambda: posterior_covariance_at(sde, p.score, x, t),
    ):
        with pytest.raises(ValueError, match="t is|t must"):
            call()


@every_sde
def test_levels_below_zero_have_no_time(sde):
    for level in (-1.0, torch.tensor([-1.0])):
        with pytest.raises(ValueError, match="level"):
            sde.time_of(level)
