"""Paths: the exact velocity against quadrature over the data, conversions, couplings and draws."""

import itertools
import math

import numpy as np
import pytest
import torch

from toylab.densities import (
    Checkerboard,
    Circle,
    GaussianMixture,
    Points,
    Segment,
    Square,
    TwoMoons,
    from_energy,
    isotropic,
)
from toylab.paths import (
    GaussianPath,
    Linear,
    clean_to_score,
    cosine,
    draw,
    independent,
    noise_to_score,
    of_sde,
    optimal_transport,
    score_to_clean,
    score_to_noise,
    score_to_velocity,
    velocity_to_score,
)
from toylab.samplers import flow_velocity
from toylab.sde import VP

MIXTURE = GaussianMixture(
    [0.3, 0.7], [[-3.0, -2.0], [2.0, 4.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]]
)
SOURCE = GaussianMixture([0.4, 0.6], [[0.0, -2.0], [1.0, 1.0]], [[[0.6, 0.1], [0.1, 0.3]], [[0.5, 0.0], [0.0, 0.4]]])
FASTER = VP(0.5, 5.0, t_min=0.01)
PATHS = {"linear": Linear(), "cosine": cosine(), "VP": of_sde(FASTER)}
every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gauss(low, high, n):
    t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(n))
    return low + (high - low) * (t + 1) / 2, w / 2


def cells():
    """Nodes and weights of a uniform law on eight cells."""
    black = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    x, w = [], []
    for i, j in black:
        (a, wa), (b, wb) = gauss(-4 + 2 * i, -2 + 2 * i, 60), gauss(-4 + 2 * j, -2 + 2 * j, 60)
        x.append(torch.cartesian_prod(a, b))
        w.append(torch.outer(wa, wb).reshape(-1) / 8)
    return torch.cat(x), torch.cat(w)


def plane(density):
    """A trapezoid rule for a smooth law."""
    t = torch.linspace(-12, 12, 481, dtype=torch.float64)
    x = torch.cartesian_prod(t, t)
    return x, torch.distributions.MultivariateNormal(density.means, density.covariances).log_prob(x[:, None]).exp() @ (
        density.weights * 0.05**2
    )


def segment():
    share, w = gauss(0.0, 1.0, 200)
    return torch.stack([-1 + 2 * share, 0.5 * share], -1), w


def circle():
    angle = 2 * math.pi * torch.arange(2000, dtype=torch.float64) / 2000
    return 2 * torch.stack([angle.cos(), angle.sin()], -1), torch.full((2000,), 1 / 2000, dtype=torch.float64)


LAWS = {
    "mixture": (MIXTURE, lambda: plane(MIXTURE)),
    "points": (
        Points([[0.0, 1.0], [2.0, 0.0], [-3.0, -1.0]]),
        lambda: (torch.tensor([[0.0, 1.0], [2.0, 0.0], [-3.0, -1.0]]).double(), torch.full((3,), 1 / 3).double()),
    ),
    "circle": (Circle(2.0), circle),
    "segment": (Segment((-1.0, 0.0), (1.0, 0.5)), segment),
    "checkerboard": (Checkerboard(), cells),
}


def schedules(name, t):
    """alpha, sigma and their derivatives, written out."""
    if name == "linear":
        return t, 1 - t, 1.0, -1.0
    if name == "cosine":
        angle = math.pi * t / 2
        return math.sin(angle), math.cos(angle), math.pi / 2 * math.cos(angle), -math.pi / 2 * math.sin(angle)
    s, rate = 1 - 0.99 * t, -0.99
    B, beta = 0.5 * s + 4.5 * s**2 / 2, 0.5 + 4.5 * s
    alpha, sigma = math.exp(-B / 2), math.sqrt(-math.expm1(-B))
    return alpha, sigma, -0.5 * beta * alpha * rate, 0.5 * beta * math.exp(-B) / sigma * rate


def mean_derivative(name, t, x, y, w):
    """E[alpha' y + sigma' (x - alpha y) / sigma | x] by the weights w of the data at the nodes y."""
    alpha, sigma, alpha_rate, sigma_rate = schedules(name, t)
    noise = (x[:, None] - alpha * y) / sigma
    r = (w.log() - 0.5 * noise.square().sum(-1)).softmax(-1)[..., None]
    return (r * (alpha_rate * y + sigma_rate * noise)).sum(1)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("law", LAWS)
def test_velocity_agrees_with_quadrature(law, name):
    density, nodes = LAWS[law]
    y, w = nodes()
    for t in (0.0, 1e-7, 1.9e-6, 2.1e-6, 1e-4, 0.01, 0.3, 0.5, 0.8):
        alpha, sigma, *_ = schedules(name, t)
        some = y[torch.multinomial(w, 5, replacement=True, generator=generator(1))]
        x = alpha * some + sigma * torch.randn(5, 2, dtype=torch.float64, generator=generator())
        found = PATHS[name].velocity(density, x, t)
        assert (found - mean_derivative(name, t, x, y, w)).abs().max() < 1e-9, t


@every_path
def test_one_time_per_point(path):
    x = torch.randn(4, 3, 2, dtype=torch.float64, generator=generator())
    t = torch.linspace(0, 1, 12, dtype=torch.float64).view(4, 3)
    each = [path.velocity(MIXTURE, y, float(s)) for y, s in zip(x.view(-1, 2), t.view(-1), strict=True)]
    torch.testing.assert_close(path.velocity(MIXTURE, x, t), torch.stack(each).view(4, 3, 2), rtol=1e-10, atol=1e-10)


@every_path
def test_single_precision(path):
    x = torch.randn(5, 2, generator=generator())
    for t in (0.0, 1e-5, 0.5, 1.0):
        found = path.velocity(MIXTURE, x, t)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), path.velocity(MIXTURE, x.double(), t), rtol=1e-5, atol=1e-5)


def test_the_ends_of_the_linear_path():
    x = torch.randn(5, 2, dtype=torch.float64, generator=generator())
    mean = MIXTURE.weights @ MIXTURE.means
    torch.testing.assert_close(Linear().velocity(MIXTURE, x, 0.0), mean - x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(Linear().velocity(MIXTURE, x, 1.0), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("t", [0.0, 1e-5, 0.2, 0.7, 1.0])
def test_a_normal_source_that_is_named(t):
    x = torch.randn(7, 2, dtype=torch.float64, generator=generator())
    named = Linear(isotropic([[0.0, 0.0]], 1.0))
    torch.testing.assert_close(named.velocity(MIXTURE, x, t), Linear().velocity(MIXTURE, x, t), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("t", [0.3, 0.5, 0.8])
def test_velocity_between_mixtures_agrees_with_quadrature(t, name):
    path = Linear(SOURCE) if name == "linear" else cosine(SOURCE)
    alpha, sigma, alpha_rate, sigma_rate = schedules(name, t)
    y, w = plane(MIXTURE)
    x = torch.tensor([[0.0, 0.0], [1.5, -1.0], [1.0, 2.0]], dtype=torch.float64)
    x0 = (x[:, None] - alpha * y) / sigma
    parts = torch.distributions.MultivariateNormal(SOURCE.means, SOURCE.covariances)
    log_source = (SOURCE.weights.log() + parts.log_prob(x0[..., None, :])).logsumexp(-1)
    r = (w.log() + log_source).softmax(-1)[..., None]
    expected = (r * (alpha_rate * y + sigma_rate * x0)).sum(1)
    assert (path.velocity(MIXTURE, x, t) - expected).abs().max() < 1e-9
    each = torch.full((3,), t, dtype=torch.float64)
    torch.testing.assert_close(path.velocity(MIXTURE, x, each), expected, rtol=1e-9, atol=1e-9)


ROUND = isotropic([[0.0, -2.0], [1.0, 1.0], [3.0, 0.0]], 0.7, weights=[0.5, 0.3, 0.2])


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("law", LAWS)
def test_velocity_from_a_round_mixture_agrees_with_quadrature(law, name):
    """To any law: x_1 at the nodes of the data, x_0 where the point then came from."""
    density, nodes = LAWS[law]
    y, w = nodes()
    path = Linear(ROUND) if name == "linear" else cosine(ROUND)
    for t in (0.0, 1e-7, 1.9e-6, 2.1e-6, 1e-4, 0.01, 0.3, 0.6):
        alpha, sigma, alpha_rate, sigma_rate = schedules(name, t)
        some = y[torch.multinomial(w, 5, replacement=True, generator=generator(1))]
        x0 = ROUND.to(torch.float64).sample((5,), generator=generator())
        x = sigma * x0 + alpha * some
        come_from = (x[:, None] - alpha * y) / sigma
        r = (w.log() + ROUND.log_prob(come_from)).softmax(-1)[..., None]
        expected = (r * (alpha_rate * y + sigma_rate * come_from)).sum(1)
        assert (path.velocity(density, x, t) - expected).abs().max() < 1e-9, t


def test_from_a_round_mixture_one_time_per_point():
    x = torch.randn(4, 3, 2, dtype=torch.float64, generator=generator())
    t, path = torch.linspace(0, 1, 12, dtype=torch.float64).view(4, 3), Linear(ROUND)
    p = Checkerboard().noised(0.5)
    each = [path.velocity(p, y, float(s)) for y, s in zip(x.view(-1, 2), t.view(-1), strict=True)]
    torch.testing.assert_close(path.velocity(p, x, t), torch.stack(each).view(4, 3, 2), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(path.velocity(p, x, 1.0), x - ROUND.weights @ ROUND.means)
    single = path.velocity(p, x.float(), t.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), path.velocity(p, x, t), rtol=1e-4, atol=1e-4)


def test_between_mixtures_at_both_ends():
    x = torch.randn(7, 2, dtype=torch.float64, generator=generator())
    mean0, mean1 = SOURCE.weights @ SOURCE.means, MIXTURE.weights @ MIXTURE.means
    torch.testing.assert_close(Linear(SOURCE).velocity(MIXTURE, x, 0.0), mean1 - x)
    torch.testing.assert_close(Linear(SOURCE).velocity(MIXTURE, x, 1.0), x - mean0)


@pytest.mark.parametrize(("source", "density"), [(SOURCE, Square()), (TwoMoons(), MIXTURE)])
def test_a_velocity_that_is_not_known_is_said(source, density):
    with pytest.raises(ValueError, match="exact velocity is known from"):
        Linear(source).velocity(density, torch.zeros(3, 2), 0.5)


@pytest.mark.parametrize(
    ("source", "density"), [(SOURCE, TwoMoons().noised(0.1).truncated((-3, 3, -3, 3))), (TwoMoons(), MIXTURE)]
)
def test_a_loss_that_is_not_known_is_said(source, density):
    with pytest.raises(ValueError, match="irreducible loss is known from"):
        Linear(source).irreducible(density, 0.5)


def test_the_path_of_an_sde_moves_as_its_probability_flow():
    x = torch.randn(9, 2, dtype=torch.float64, generator=generator())
    for t in (0.2, 0.5, 0.9):
        flow = flow_velocity(FASTER, MIXTURE.score)(x, 1 - 0.99 * t)
        torch.testing.assert_close(of_sde(FASTER).velocity(MIXTURE, x, t), -0.99 * flow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("path", "name"), [(path, name) for name, path in PATHS.items()], ids=PATHS)
def test_conversions_are_inverse_and_right(path, name):
    t = 0.4
    alpha, sigma, alpha_rate, sigma_rate = schedules(name, t)
    x = torch.randn(6, 2, dtype=torch.float64, generator=generator())
    s = MIXTURE.scaled(alpha).noised(sigma).score(x)
    noise, clean = -sigma * s, (x + sigma**2 * s) / alpha
    velocity = path.velocity(MIXTURE, x, t)
    for there, back, expected in (
        (score_to_velocity, velocity_to_score, velocity),
        (score_to_noise, noise_to_score, noise),
        (score_to_clean, clean_to_score, clean),
    ):
        torch.testing.assert_close(there(path, s, x, t), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(back(path, expected, x, t), s, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(back(path, there(path, s, x, t), x, t), s, rtol=1e-12, atol=1e-12)
        v = torch.randn(6, 2, dtype=torch.float64, generator=generator(1))
        torch.testing.assert_close(there(path, back(path, v, x, t), x, t), v, rtol=1e-12, atol=1e-12)
    assert alpha_rate * sigma - sigma_rate * alpha > 0


def test_conversions_stop_at_the_ends():
    x = torch.zeros(3, 2)
    for t in (0.0, 1.0, torch.tensor([0.0, 0.5, 0.6])):
        with pytest.raises(ValueError, match="strictly between"):
            score_to_clean(Linear(), x, x, t)
    with pytest.raises(ValueError, match="source other than"):
        velocity_to_score(Linear(SOURCE), x, x, 0.5)


def test_optimal_transport_is_the_permutation_of_least_cost():
    x0, x1 = torch.randn(3, 6, 2, generator=generator(1)), torch.randn(3, 6, 2, generator=generator(2))
    found = optimal_transport(x0, x1)
    for a, b, c in zip(x0, x1, found, strict=True):
        best = min((a[list(order)] - b).square().sum() for order in itertools.permutations(range(6)))
        assert float((c - b).square().sum()) == pytest.approx(float(best), rel=1e-6)
        assert sorted(map(tuple, a.tolist())) == sorted(map(tuple, c.tolist()))
    assert independent(x0, x1) is x0


def test_optimal_transport_says_what_it_cannot_order():
    with pytest.raises(ValueError, match="batch"):
        optimal_transport(torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match="nan or inf"):
        optimal_transport(torch.tensor([[math.nan, 0.0]]), torch.zeros(1, 2))


@pytest.mark.parametrize(
    "path", [*PATHS.values(), Linear(SOURCE), cosine(SOURCE)], ids=[*PATHS, "of mixtures", "cosine of mixtures"]
)
def test_a_draw_is_on_its_path(path):
    x1 = torch.randn(20_000, 2, dtype=torch.float64, generator=generator(3))
    here = draw(path, x1, generator=generator(4))
    assert torch.equal(here.x, draw(path, x1, generator=generator(4)).x)
    torch.testing.assert_close(here.x, path.point(here.x0, x1, here.t))
    h = 1e-6
    t = here.t.clamp(h, 1 - h)
    slope = (path.point(here.x0, x1, t + h) - path.point(here.x0, x1, t - h)) / (2 * h)
    torch.testing.assert_close(slope, path.derivative(here.x0, x1, t), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(here.target, path.derivative(here.x0, x1, here.t))
    assert abs(float(here.t.mean()) - 0.5) < 5 * 0.2887 / math.sqrt(20_000)
    mean = SOURCE.weights @ SOURCE.means if getattr(path, "source", None) is not None else torch.zeros(2).double()
    assert (here.x0.mean(0) - mean).abs().max() < 5 * 1.7 / math.sqrt(20_000)


def test_a_draw_with_a_coupling():
    x1 = torch.randn(50, 2, generator=generator(3))
    coupled, plain = (draw(Linear(), x1, coupling=c, generator=generator(4)) for c in (optimal_transport, independent))
    assert float(coupled.target.square().sum()) < 0.7 * float(plain.target.square().sum())
    torch.testing.assert_close(coupled.x0.sum(0), plain.x0.sum(0))


def test_a_law_without_a_score_at_the_end():
    with pytest.raises(ValueError, match="sigma"):
        Linear().velocity(Circle(), torch.zeros(3, 2), 1.0)
    clean_only = from_energy(lambda x: 0.5 * x.square().sum(-1), (-9.0, 9.0, -9.0, 9.0), n_cells=16)
    with pytest.raises(ValueError, match="sigma"):
        Linear().velocity(clean_only, torch.zeros(3, 2), 0.5)


def test_misuse():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="from 0, the source, to 1"):
        Linear().velocity(MIXTURE, x, 1.5)
    with pytest.raises(ValueError, match=r"column \[n, 1\]"):
        Linear().velocity(MIXTURE, x, torch.zeros(3, 1))
    with pytest.raises(TypeError, match="two_modes"):
        Linear().velocity(MIXTURE.score, x, 0.5)
    with pytest.raises(TypeError, match="source"):
        Linear(source=0.5)
    with pytest.raises(ValueError, match="one number per time"):
        GaussianPath(lambda t: t, lambda t: 0.5)
    with pytest.raises(ValueError, match=r"alpha gives \[-0.25, -0.5\] .* not negative"):
        GaussianPath(lambda t: -t, lambda t: 1 - t)
    with pytest.raises(ValueError, match="sigma gives .* not negative"):
        GaussianPath(lambda t: t, lambda t: t - 1)
    with pytest.raises(TypeError, match="path is"):
        draw(VP(), x)
    with pytest.raises(ValueError, match="one row for each"):
        Linear().point(x, x[:2], 0.5)
