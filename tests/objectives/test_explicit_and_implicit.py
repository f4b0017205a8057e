"""The two objectives without noise, value by value."""

import pytest
import torch

from toylab.densities import Circle, two_modes
from toylab.objectives import Denoising, Explicit, Implicit, Sliced


def field(x):
    x1, x2 = x.unbind(-1)
    return torch.stack([torch.sin(x1 * x2), x1**2 - torch.cosh(x2)], -1)


def points(n=50):
    return torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_explicit_is_half_the_squared_distance():
    x = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    loss = Explicit(lambda x: -x)(lambda x: 2 * x, x)  # |3 x|^2 / 2
    torch.testing.assert_close(loss, torch.tensor([22.5, 4.5]))
    assert Explicit(two_modes().score).offset(two_modes()) == 0


def test_implicit_is_divergence_plus_half_square():
    x = points()
    J = torch.stack([torch.autograd.functional.jacobian(field, point) for point in x])
    right = J.diagonal(dim1=-2, dim2=-1).sum(-1) + 0.5 * field(x).square().sum(-1)
    torch.testing.assert_close(Implicit()(field, x), right, rtol=1e-12, atol=1e-12)


def test_the_best_multiple_of_the_score_is_one():
    """c div s + c^2 |s|^2 / 2 is least at c = -E div s / E|s|^2 = 1; -1 with the printed sign of one source."""
    density = two_modes().to(torch.float64)
    x = density.sample((100_000,), generator=torch.Generator().manual_seed(1))
    h = 1e-4
    up, down = (Implicit()(lambda y, c=c: c * density.score(y), x) for c in (1 + h, 1 - h))
    slope = (up - down) / (2 * h)  # mean 0 at c = 1; standard deviation about 2, SE .006 against I = 2
    assert abs(float(slope.mean())) < 5 * float(slope.std()) / len(x) ** 0.5


@pytest.mark.parametrize("objective", [Implicit(), Sliced()], ids=["implicit", "sliced"])
def test_a_law_without_a_density_has_no_clean_offset(objective):
    with pytest.raises(ValueError):
        objective.offset(Circle())


def test_a_law_without_a_density_has_a_noised_offset():
    """1/2 I(p_sigma) - 1/sigma^2 = -E tr Cov[X | x] / (2 sigma^4), which is negative."""
    assert -1 / 0.5**2 < Denoising(0.5).offset(Circle()) < 0


def test_explicit_refuses_what_is_no_function():
    with pytest.raises(TypeError, match="target"):
        Explicit(two_modes())
