"""Sliced score matching: the laws of the directions, and exactly what is noise in either form."""

import math

import pytest
import scipy.stats
import torch

from toylab.objectives import FiniteDifferenceSliced, Implicit, Sliced, gaussian, rademacher, sphere

JACOBIAN = torch.tensor([[0.7, -1.1], [0.4, -2.0]], dtype=torch.float64)  # not symmetric
SHIFT = torch.tensor([0.3, -0.8], dtype=torch.float64)
POINT = torch.tensor([0.9, 0.5], dtype=torch.float64)
N = 100_000


def field(x):
    return x @ JACOBIAN.T + SHIFT


def curved(x):
    x1, x2 = x.unbind(-1)
    return torch.stack([torch.sin(x1 * x2), x1**2 - torch.cosh(x2)], -1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def z_test(values, mean):
    assert abs(float(values.mean()) - mean) < 5 * float(values.std()) / math.sqrt(len(values))


def at_one_point(objective, n=N):
    """n independent losses of one and the same point."""
    return objective(field, POINT.expand(n, 2), generator=generator(1))


def test_rademacher_directions_are_signs():
    """v v^T has exactly ones on the diagonal; the product of the two signs is even: SE 1 / sqrt(N) = .003."""
    v = rademacher(torch.empty(N, 2, dtype=torch.float64), generator())
    assert torch.equal(v.abs(), torch.ones_like(v))
    for statistic in (v[:, 0], v[:, 1], v[:, 0] * v[:, 1], v[:-1, 0] * v[1:, 0]):
        z_test(statistic, 0.0)


def test_gaussian_directions_have_unit_covariance():
    """Variances known to sqrt(2 / N) = .45 %; the fourth moment 3 tells a normal law from others of unit variance."""
    v = gaussian(torch.empty(N, 2, dtype=torch.float64), generator())
    for i in range(2):
        for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
            z_test(v[:, i] ** power, moment)
    z_test(v[:, 0] * v[:, 1], 0.0)


@pytest.mark.parametrize("projection", [rademacher, gaussian])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions_are_shaped_like_the_points(projection, dtype):
    v = projection(torch.empty(3, 4, 2, dtype=dtype), generator())
    assert v.shape == (3, 4, 2)
    assert v.dtype == dtype


@pytest.mark.parametrize("variance_reduced", [True, False])
def test_the_formula_with_given_directions(variance_reduced):
    """v^T J v + 1/2 |s|^2 or 1/2 (v^T s)^2, averaged over the slices, J by reverse mode."""
    x, n_slices = torch.randn(6, 2, dtype=torch.float64, generator=generator(2)), 3
    v = torch.randn(n_slices, 6, 2, dtype=torch.float64, generator=generator(3))
    seen = []

    def given(like, g):
        seen.append((like.shape, g))
        return v

    g = generator()
    loss = Sliced(n_slices, given, variance_reduced)(curved, x, generator=g)
    assert seen == [((n_slices, 6, 2), g)]
    J = torch.stack([torch.autograd.functional.jacobian(curved, point) for point in x])
    s = curved(x)
    square = s.square().sum(-1) if variance_reduced else torch.einsum("kni,ni->kn", v, s) ** 2
    right = (torch.einsum("kni,nij,knj->kn", v, J, v) + 0.5 * square).mean(0)
    torch.testing.assert_close(loss, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variance_reduced", [True, False])
def test_with_rademacher_directions_only_the_off_diagonal_is_noise(variance_reduced):
    """At each point loss - implicit loss = +-(J12 + J21), or +-(J12 + J21 + s1 s2) for the plain form, and both signs
    occur: the conditional variance is the square of that.
    """
    x = 2 * torch.randn(2000, 2, dtype=torch.float64, generator=generator(4)).clamp(-1.5, 1.5)
    loss = Sliced(variance_reduced=variance_reduced)(curved, x, generator=generator(5))
    x1, x2 = x.unbind(-1)
    off_diagonal = x1 * torch.cos(x1 * x2) + 2 * x1
    if not variance_reduced:
        s = curved(x)
        off_diagonal = off_diagonal + s[:, 0] * s[:, 1]
    noise = loss - Implicit()(curved, x)
    torch.testing.assert_close(noise.abs(), off_diagonal.abs(), rtol=1e-10, atol=1e-10)
    assert 0.3 < float((noise * off_diagonal > 0).double().mean()) < 0.7  # 2,000 coins: sd .011


@pytest.mark.parametrize("projection", [rademacher, gaussian])
@pytest.mark.parametrize("variance_reduced", [True, False])
@pytest.mark.parametrize("n_slices", [1, 3])
def test_conditional_mean_and_variance(projection, variance_reduced, n_slices):
    """With S the symmetric part of J: Gaussian 2|S|^2, plain 2|S|^2 + |s|^4/2 + 2 s^T S s; Rademacher as above.

    The variance of N = 1e5 draws of a law of kurtosis up to 15 is known to 1.2 %: a lost factor 2 is at 40 SE.
    """
    s, S = field(POINT), 0.5 * (JACOBIAN + JACOBIAN.T)
    if projection is rademacher:
        variance = (2 * S[0, 1] + (0 if variance_reduced else s[0] * s[1])) ** 2
    else:
        variance = 2 * S.square().sum()
        if not variance_reduced:
            variance = variance + s.square().sum() ** 2 / 2 + 2 * s @ S @ s
    loss = at_one_point(Sliced(n_slices, projection, variance_reduced))
    mean = float(JACOBIAN.trace() + 0.5 * s.square().sum())
    z_test(loss, mean)
    squares = (loss - mean) ** 2
    if float(squares.std()) < 1e-9:
        assert float(squares.mean()) == pytest.approx(float(variance) / n_slices, rel=1e-9)
    else:
        z_test(squares, float(variance) / n_slices)


def test_a_field_that_does_not_depend_on_x():
    loss = Sliced()(lambda x: torch.full_like(x, 2.0), torch.zeros(4, 2), generator=generator())
    assert torch.equal(loss, torch.full((4,), 4.0))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"n_slices": 0}, ValueError),
        ({"n_slices": 1.5}, TypeError),
        ({"n_slices": True}, TypeError),
        ({"projection": "rademacher"}, TypeError),
    ],
)
def test_bad_settings(arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        Sliced(**arguments)


def test_sphere_directions_have_radius_sqrt_d_and_uniform_angles():
    """Kolmogorov-Smirnov of 1e5 angles, p > 1e-6; with these, E v v^T = I."""
    v = sphere(torch.empty(N, 2, dtype=torch.float64), generator(5))
    torch.testing.assert_close(v.norm(dim=-1), torch.full((N,), math.sqrt(2), dtype=torch.float64))
    turns = torch.atan2(v[:, 1], v[:, 0]) / (2 * math.pi) + 0.5
    assert scipy.stats.kstest(turns.numpy(), "uniform").pvalue > 1e-6


def test_finite_differences_tend_to_the_sliced_loss_with_the_square_of_the_step():
    """The same directions on both sides: halving the step quarters the difference, up to the next order, h^2 = 1e-4."""
    x = torch.randn(50, 2, dtype=torch.float64, generator=generator(6))
    limit = Sliced(2)(curved, x, generator=generator(7))
    errors = [FiniteDifferenceSliced(h, 2)(curved, x, generator=generator(7)) - limit for h in (0.02, 0.01)]
    assert float(errors[0].abs().max()) > 1e-5
    ratio = errors[0].norm() / errors[1].norm()
    assert float(ratio) == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"step": 0.0}, ValueError), ({"step": math.nan}, ValueError), ({"n_slices": 0}, ValueError),
     ({"projection": 3}, TypeError)],
)  # fmt: skip
def test_bad_settings_of_finite_differences(arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        FiniteDifferenceSliced(**arguments)
