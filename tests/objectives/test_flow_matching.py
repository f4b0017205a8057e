"""Flow matching: its mean loss above the irreducible one is the error of the velocity."""

import math

import pytest
import torch

from toylab.densities import Checkerboard, Circle, GaussianMixture, Points, isotropic, two_modes
from toylab.networks import ScoreMLP, VelocityMLP
from toylab.objectives import FlowMatching
from toylab.paths import GaussianPath, Interpolant, Linear, cosine, draw, of_sde, optimal_transport
from toylab.sde import VP
from toylab.training import fit

MIXTURE = GaussianMixture(
    [0.3, 0.7], [[-3.0, -2.0], [2.0, 4.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]]
)
SOURCE = GaussianMixture([0.4, 0.6], [[0.0, -2.0], [1.0, 1.0]], [[[0.6, 0.1], [0.1, 0.3]], [[0.5, 0.0], [0.0, 0.4]]])
CASES = {
    "linear": (Linear(), MIXTURE),
    "linear, circle": (Linear(), Circle(2.0)),
    "linear, points": (Linear(), Points([[0.0, 1.0], [2.0, 0.0], [-3.0, -1.0]])),
    "linear, between mixtures": (Linear(SOURCE), MIXTURE),
    "linear, from two Gaussians to a circle": (Linear(isotropic([[-1.0, 0.0], [1.0, 0.5]], 1.0)), Circle(1.0)),
    "cosine": (cosine(), MIXTURE),
    "cosine, between mixtures": (cosine(SOURCE), MIXTURE),
    "of an SDE": (of_sde(VP(0.5, 5.0, t_min=0.01)), MIXTURE),
    "with a bridge between mixtures": (Interpolant(Linear(SOURCE), lambda t: (2 * t * (1 - t)).sqrt()), MIXTURE),
    "with smooth noise, cosine": (Interpolant(cosine(), lambda t: 2 * t * (1 - t)), MIXTURE),
}
N = 50_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pushed(path, density):
    """The exact velocity with an error of its own, 0.3 x + (0.5, -t), and the square of that error."""

    def velocity(x, t):
        return path.velocity(density, x, t) + error(x, t)

    def error(x, t):
        return 0.3 * x + torch.stack([torch.full_like(t, 0.5), -t], -1)

    return velocity, error


def z_test(values, mean):
    assert abs(float(values.mean()) - mean) < 5 * float(values.std()) / math.sqrt(len(values))


@pytest.mark.parametrize(("path", "density"), CASES.values(), ids=CASES)
def test_mean_loss_plus_offset_is_the_velocity_error(path, density):
    x = density.to(torch.float64).sample((N,), generator=generator(1))
    objective = FlowMatching(path)
    offset = objective.offset(density)
    velocity, error = pushed(path, density)
    exact = objective(lambda x, t: path.velocity(density, x, t), x, generator=generator(2))
    assert exact.shape == (N,)
    z_test(exact + offset, 0.0)
    here = draw(path, x, generator=generator(2))
    square = 0.5 * error(here.x, here.t).square().sum(-1)
    losses = objective(velocity, x, generator=generator(2))
    z_test(losses + offset - square, 0.0)
    z_test(losses - exact - square, 0.0)  # the same random numbers on both sides: far less noise


def test_irreducible_loss_of_a_normal_law():
    """N(0, v I): x'_t given x_t has the variance v / ((1 - t)^2 + t^2 v), and 1/2 E|.|^2 = v int dt / (..) (d = 2).

    The integral is (arctan(sqrt v) + arctan(1 / sqrt v)) / sqrt v = pi / (2 sqrt v).
    """
    for v in (0.04, 1.0, 9.0):
        law = GaussianMixture([1.0], [[1.0, 0.0]], [[v, 0.0], [0.0, v]])
        assert FlowMatching(Linear()).offset(law) == pytest.approx(-0.5 * math.pi * math.sqrt(v), rel=1e-7)


def test_a_normal_source_that_is_named_has_the_same_offset():
    named = FlowMatching(Linear(isotropic([[0.0, 0.0]], 1.0)))
    assert named.offset(MIXTURE) == pytest.approx(FlowMatching(Linear()).offset(MIXTURE), rel=1e-7)


BOARD = Checkerboard().scaled(0.5 / 0.45)


@pytest.mark.slow
def test_the_published_example():
    """Checkerboard of side 4 divided by 0.45; mean of both squared errors; printed losses of 3.746 +- 0.025.

    A network is worse than that by the error of its velocity: 5 standard errors on each side, wrong in 6e-7 of runs.
    """
    objective = FlowMatching(Linear())
    offset = objective.offset(BOARD)
    assert -offset == pytest.approx(3.752, abs=0.002)
    network = VelocityMLP(generator=generator())
    network = fit(network, objective, BOARD, n_steps=50, generator=generator(1), progress=False).network
    x = BOARD.sample((20_000,), generator=generator(2))
    here = draw(Linear(), x, generator=generator(3))
    exact = Linear().velocity(BOARD, here.x, here.t)
    with torch.no_grad():
        losses = objective(network, x, generator=generator(3))
        error = 0.5 * (network(here.x, here.t) - exact).square().sum(-1)
    z_test(losses + offset - error, 0.0)


def test_a_trained_network_is_nearer_than_any_affine_velocity():
    """The best field that is affine in x at every t is the velocity of the normal law of the same two moments.

    The network's error is less, by 5 standard errors; and loss + offset is that error, to 5: wrong in 6e-7 of runs.
    """
    density, objective, path = two_modes(), FlowMatching(Linear()), Linear()
    network = VelocityMLP(64, 2, generator=generator(3))
    settings = {"n_steps": 400, "batch_size": 256, "progress": False}
    network = fit(network, objective, density, generator=generator(4), **settings).network
    w, m = density.weights, density.means
    mean = w @ m
    second = torch.einsum("k,kij->ij", w, density.covariances + m[:, :, None] * m[:, None])
    affine = GaussianMixture([1.0], mean[None], (second - torch.outer(mean, mean))[None])
    x = density.sample((20_000,), generator=generator(5))
    here = draw(path, x, generator=generator(6))

    def error(v):
        return 0.5 * (v - path.velocity(density, here.x, here.t)).square().sum(-1)

    with torch.no_grad():
        learned = error(network(here.x, here.t))
        losses = objective(network, x, generator=generator(6))
    gain = error(path.velocity(affine, here.x, here.t)) - learned
    assert float(gain.mean()) > 5 * float(gain.std()) / math.sqrt(len(gain))
    z_test(losses + objective.offset(density) - learned, 0.0)


def test_side_by_side_networks_are_trained():
    network = VelocityMLP(8, 1, generator=generator())
    fit(network, FlowMatching(Linear()), two_modes(), n_steps=3, n_seeds=2, generator=generator(), progress=False)


def test_with_transport_as_coupling_the_targets_vary_less():
    x = two_modes().sample((256,), generator=generator(1))
    plain, coupled = FlowMatching(Linear()), FlowMatching(Linear(), optimal_transport)

    def zero(x, t):
        return torch.zeros_like(x)

    assert coupled(zero, x, generator=generator(2)).mean() < plain(zero, x, generator=generator(2)).mean()
    with pytest.raises(ValueError, match="coupling=independent"):
        coupled.offset(two_modes())


def test_generator_rules():
    x = two_modes().sample((20,), generator=generator(1))
    network, objective = VelocityMLP(8, 1, generator=generator()), FlowMatching(cosine())
    before = torch.get_rng_state()
    first = objective(network, x, generator=generator(7))
    assert torch.equal(first, objective(network, x, generator=generator(7)))
    assert not torch.equal(first, objective(network, x, generator=generator(8)))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.dtype == torch.float32


def test_it_is_the_mean_of_the_squared_errors_of_both_coordinates():
    x = two_modes().sample((20,), generator=generator(1))
    here = draw(Linear(), x, generator=generator(2))
    losses = FlowMatching(Linear())(lambda x, t: x + t[:, None], x, generator=generator(2))
    torch.testing.assert_close(losses, (here.x + here.t[:, None] - (x - here.x0)).square().mean(-1))


def test_a_mean_that_does_not_exist():
    path = GaussianPath(lambda t: t, lambda t: (1 - t).sqrt())  # sigma'^2 = 1 / (4 (1 - t))
    with pytest.raises(ValueError, match="may not exist"):
        FlowMatching(path).offset(MIXTURE)


def test_misuse():
    x = torch.zeros(3, 2)
    with pytest.raises(TypeError, match="Linear"):
        FlowMatching(Linear)
    with pytest.raises(TypeError, match="path is a VP"):
        FlowMatching(VP())
    with pytest.raises(TypeError):
        FlowMatching(Linear())(ScoreMLP(), x)
    with pytest.raises(ValueError, match="velocity"):
        FlowMatching(Linear())(lambda x, t: x[..., :1], x)
    with pytest.raises(TypeError, match="density"):
        FlowMatching(Linear()).offset(x)
