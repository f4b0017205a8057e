"""Integrals over a latent: what all laws that are done so promise, whatever their formula is."""

import math

import pytest
import torch

from toylab.densities import Banana, Funnel, Spiral, StudentTMixture, TwoMoons, latent

STUDENT = StudentTMixture([0.4, 0.6], [[-1.0, 0.0], [2.0, 0.5]], [[0.3, 0.1], [0.1, 0.2]], [3.0, 60.0])
LATENT = [Banana(), Funnel(), STUDENT, Spiral()]
every_law = pytest.mark.parametrize("p", [*LATENT, TwoMoons()], ids=lambda p: type(p).__name__)


def points(n):
    return 3 * torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("p", LATENT, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("sigma", [0.05, 1.0, 30.0])
def test_the_bounds_on_which_nodes_are_placed_hold(p, sigma, monkeypatch):
    """The slope is that of the integrand, and its second derivative lies within the bounds, on any interval."""
    seen = []

    def look(integrand, points, low, high, **_):
        seen.append((integrand(*(t[:, None, None] for t in points)), low[:, None, None], high[:, None, None]))
        return low, torch.stack([low, low], -1), low

    monkeypatch.setattr(latent, "evaluate", look)
    p.log_prob(points(40), sigma)
    (f, low, high), g = seen[0], torch.Generator().manual_seed(1)
    middle = low + (high - low) * torch.rand(len(low), 60, 1, dtype=low.dtype, generator=g)
    half = (high - low) * 10 ** (-4 * torch.rand(middle.shape, dtype=low.dtype, generator=g)) / 2
    first, last = torch.maximum(middle - half, low), torch.minimum(middle + half, high)
    least, most = f.curvature(first, last)
    u = first + (last - first) * torch.linspace(0, 1, 41, dtype=low.dtype)
    first, last = first.expand_as(u), last.expand_as(u)
    slope, curvature = f.slope(u), torch.func.jvp(f.slope, (u,), (torch.ones_like(u),))[1]
    by_autograd = torch.func.jvp(f.log_joint, (u,), (torch.ones_like(u),))[1]
    assert ((slope - by_autograd).abs() <= 1e-9 * (1 + by_autograd.abs().amax(-1, keepdim=True))).all()
    slack = 1e-9 * (1 + curvature.abs().amax(-1, keepdim=True))
    assert (least - slack <= curvature).all()
    assert (curvature <= most + slack).all()
    if f.ceiling is not None:
        assert (f.log_joint(u) <= f.ceiling(first[..., :1], last[..., :1]) + 1e-9).all()


@every_law
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_row_is_nan_and_the_others_do_not_notice(p, bad):
    x = points(5)
    expected = p.score(x, 0.3), p.divergence(x, 0.3)
    x[2, 0] = bad
    for found, right in zip((p.score(x, 0.3), p.divergence(x, 0.3)), expected, strict=True):
        assert found[2].isnan().all()
        others = torch.tensor([0, 1, 3, 4])
        torch.testing.assert_close(found[others], right[others], rtol=1e-13, atol=0)


@every_law
@pytest.mark.parametrize("sigma", [0.01, 1.0])
def test_a_point_does_not_depend_on_the_others(p, sigma):
    """Not on a far one, nor on one that needs many more nodes; to rounding, as sums may run in another order."""
    x = torch.cat([points(20), points(2) * 1e3])
    for method in (p.log_prob, p.score, p.divergence):
        alone = torch.stack([method(y, sigma) for y in x])
        torch.testing.assert_close(method(x, sigma), alone, rtol=1e-12, atol=1e-12)


@every_law
def test_derivatives_in_a_tensor_sigma_are_those_of_the_heat_equation(p):
    """d log p / d sigma = sigma (div s + |s|^2), forwards and backwards, and twice."""
    x, sigma = points(6), torch.tensor([0.1, 0.3, 1.0, 2.0, 10.0, 100.0], dtype=torch.float64)

    def exact(level):
        return level * (p.divergence(x, level) + p.score(x, level).square().sum(-1))

    def log_p(level):
        return p.log_prob(x, level)

    one = torch.ones_like(sigma)
    _, forwards = torch.func.jvp(log_p, (sigma,), (one,))
    _, pull_back = torch.func.vjp(log_p, sigma)
    for found in (forwards, pull_back(one)[0]):
        torch.testing.assert_close(found, exact(sigma), rtol=1e-9, atol=1e-9)
    _, twice = torch.func.jvp(lambda level: torch.func.jvp(log_p, (level,), (one,))[1], (sigma,), (one,))
    torch.testing.assert_close(twice, torch.func.jvp(exact, (sigma,), (one,))[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("p", LATENT, ids=lambda p: type(p).__name__)
def test_batched_points_and_levels_are_refused_with_the_way_round(p):
    x, sigma = points(4), torch.full((4,), 0.3, dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda y: p.score(y, 0.3))
    calls = [
        lambda: torch.func.vmap(lambda y: p.score(y, 0.3))(x),
        lambda: torch.func.vmap(jacobian)(x),
        lambda: torch.func.vmap(lambda s: p.log_prob(x, s))(sigma),
        lambda: torch.func.vmap(p.divergence)(x, sigma),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"torch.func.vmap.*give the whole batch \[n, 2\] at once"):
            call()


def test_two_moons_can_be_batched():
    p, x = TwoMoons(), points(4)
    torch.testing.assert_close(torch.func.vmap(lambda y: p.score(y, 0.3))(x), p.score(x, 0.3), rtol=1e-12, atol=1e-12)
    sigma = torch.tensor([0.1, 1.0], dtype=x.dtype)
    found = torch.func.vmap(lambda s: p.divergence(x, s))(sigma)
    torch.testing.assert_close(found, torch.stack([p.divergence(x, float(s)) for s in sigma]), rtol=1e-12, atol=1e-12)


def test_what_needs_too_many_nodes_is_nan_with_a_warning():
    """A hundred thousand radians of a curve that is a point from far away; the second law is none of that."""
    x = points(2)
    with pytest.warns(RuntimeWarning, match="2 of 2 points are nan"):
        values = Spiral(1e-3, 0.0, 1e5).log_prob(x, 1e3)
    assert values.isnan().all()


@pytest.mark.parametrize("p", [Banana(2.0, 0.05, 25.0), Funnel(), STUDENT], ids=lambda p: type(p).__name__)
def test_clean_laws_in_float32_are_those_of_float64(p):
    """Near the parabola x_1 = 50 the difference x_2 - bend (x_1^2 - scale^2) has lost all digits of float32."""
    x = torch.tensor([[50.0, 62400.0], [0.1, -99.75], [-3.0, 0.25], [3.0, 1.5]])
    for method in (p.log_prob, p.score, p.divergence):
        torch.testing.assert_close(method(x), method(x.double()).float(), rtol=0, atol=0)
