"""The variance of a mini-batch gradient: against closed forms of a field with two parameters."""

import math

import pytest
import torch

from toylab.densities import isotropic, two_modes
from toylab.networks import EnergyMLP, ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced, gaussian
from toylab.training import gradient_noise

NORMAL = isotropic([[0.0, 0.0]], 1.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Linear(torch.nn.Module):
    """s(x) = -a x + b."""

    def __init__(self, a=0.6, b=0.0):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(a))
        self.b = torch.nn.Parameter(torch.full((2,), b))

    def forward(self, x):
        return self.b - self.a * x


def check(measured, exact, n_batches):
    """Three independent parts, each nearly normal by the batch: relative standard error at most sqrt(2 / (R - 1))."""
    assert measured == pytest.approx(exact, rel=5 * math.sqrt(2 / (n_batches - 1)))


def test_a_network_whose_gradients_are_off_is_measured_like_any_other():
    """``fit`` returns such networks; how noisy a further step would be is a fair question."""
    frozen = Linear().requires_grad_(False)
    arguments = {"batch_size": 50, "n_batches": 20}
    plain, off = (gradient_noise(s, Implicit(), NORMAL, **arguments, generator=generator()) for s in (Linear(), frozen))
    assert plain == off


@pytest.mark.parametrize("batch_size", [50, 400])
def test_explicit_on_a_normal_law(batch_size):
    """loss = (1 - a)^2 |x|^2 / 2 at b = 0: d/da = -(1 - a) |x|^2, d/db = (1 - a) x; |x|^2 has variance 4."""
    value = gradient_noise(Linear(), Explicit(torch.neg), NORMAL, batch_size=batch_size, n_batches=800,
                           generator=generator())  # fmt: skip
    check(value, 0.4**2 * (4 + 2) / batch_size, 800)


def test_implicit_on_a_normal_law():
    """loss = -2 a + |b - a x|^2 / 2: d/da = -2 + a |x|^2, d/db = -a x, at b = 0."""
    value = gradient_noise(Linear(), Implicit(), NORMAL, batch_size=100, n_batches=800, generator=generator())
    check(value, 0.6**2 * (4 + 2) / 100, 800)


@pytest.mark.parametrize("n_slices", [1, 4])
def test_sliced_adds_the_noise_of_its_directions(n_slices):
    """Variance-reduced, Gaussian: v^T grad s v = -a |v|^2 adds Var |v|^2 = 4 / n_slices to that of d/da."""
    value = gradient_noise(Linear(), Sliced(n_slices, gaussian), NORMAL, batch_size=100, n_batches=800,
                           generator=generator())  # fmt: skip
    check(value, (0.6**2 * (4 + 2) + 4 / n_slices) / 100, 800)


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_denoising_explodes_as_sigma_falls(sigma):
    """y = x + sigma z, loss = |b - a y + z / sigma|^2 / 2: d/da = a |y|^2 - y.z / sigma, d/db = -a y + z / sigma."""
    g, a = generator(1), 0.6
    x, z = torch.randn(2, 400_000, 2, dtype=torch.float64, generator=g)
    y = x + sigma * z
    slope = a * y.square().sum(-1) - (y * z).sum(-1) / sigma
    exact = float(slope.var()) + 2 * (a**2 * (1 + sigma**2) - 2 * a + 1 / sigma**2)
    value = gradient_noise(Linear(), Denoising(sigma), NORMAL, batch_size=100, n_batches=800, generator=generator())
    check(value, exact / 100, 800)


def test_batches_are_independent_whatever_their_number():
    """17 are computed as 16 and one more."""
    many = [gradient_noise(ScoreMLP(8, generator=generator()), Sliced(), two_modes(), n_batches=n, batch_size=32,
                           generator=generator(2)) for n in (17, 64)]  # fmt: skip
    assert many[0] == pytest.approx(many[1], rel=1.0)
    assert many[0] != many[1]


def test_an_energy_has_a_parameter_without_a_gradient():
    assert gradient_noise(EnergyMLP(8, generator=generator()), Denoising(0.5), two_modes(), generator=generator()) > 0


def test_reproducible_and_bad_input():
    network = ScoreMLP(8, generator=generator())
    given = [p.clone() for p in network.parameters()]
    one, other = (gradient_noise(network, Sliced(), two_modes(), generator=generator(3)) for _ in range(2))
    assert one == other
    assert all(torch.equal(a, b) for a, b in zip(given, network.parameters(), strict=True))
    assert all(p.grad is None for p in network.parameters())
    with pytest.raises(ValueError, match="n_batches"):
        gradient_noise(network, Sliced(), two_modes(), n_batches=1)
    with pytest.raises(ValueError, match="batch_size"):
        gradient_noise(network, Sliced(), two_modes(), batch_size=0)
