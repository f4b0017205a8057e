"""Paths with latent noise: velocity and score against sums over both ends, and what the noise may not change."""

import functools
import math
import sys

import pytest
import torch

from toylab.densities import Circle, GaussianMixture, Points, Square, TwoMoons, isotropic
from toylab.objectives import FlowMatching
from toylab.paths import GaussianPath, Interpolant, Linear, cosine, draw

SOURCE = GaussianMixture([0.4, 0.6], [[0.0, -2.0], [1.0, 1.0]], [[[0.6, 0.1], [0.1, 0.3]], [[0.5, 0.0], [0.0, 0.4]]])
ROUND = isotropic([[0.0, -2.0], [1.0, 1.0], [3.0, 0.0]], 0.7, weights=[0.5, 0.3, 0.2])
MIXTURE = GaussianMixture([0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]])
POINTS = Points([[0.0, 1.0], [2.0, 0.0], [-3.0, -1.0]])


def bridge(t):
    return (2 * t * (1 - t)).sqrt()


def smooth(t):
    return 2.5 * t * (1 - t)


def none(t):
    return 0 * t


GAMMAS = {"bridge": bridge, "smooth": smooth}
PATHS = {"linear": Linear, "cosine": cosine}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, 2, dtype=torch.float64, generator=generator(seed))


def shares(path, gamma, t):
    """alpha, sigma and gamma and their derivatives, written out."""
    a, b, rates = t, 1 - t, (1.0, -1.0)
    if path == "cosine":
        a, b, half = math.sin(math.pi * t / 2), math.cos(math.pi * t / 2), math.pi / 2
        rates = (half * b, -half * a)
    if gamma == "bridge":
        g = math.sqrt(2 * t * (1 - t))
        return a, b, g, *rates, (1 - 2 * t) / g
    return a, b, 2.5 * t * (1 - t), *rates, 2.5 * (1 - 2 * t)


@functools.cache
def grid(density, step):
    """Nodes and weights of the trapezoid rule for a Gaussian mixture."""
    t = torch.arange(-9.0, 9.0, step, dtype=torch.float64)
    x = torch.cartesian_prod(t, t)
    parts = torch.distributions.MultivariateNormal(density.means, density.covariances)
    w = parts.log_prob(x[:, None]).exp() @ density.weights * step**2
    return x[w > 1e-14], w[w > 1e-14]


def circle():
    angle = 2 * math.pi * torch.arange(150, dtype=torch.float64) / 150
    return 2 * torch.stack([angle.cos(), angle.sin()], -1), torch.full((150,), 1 / 150, dtype=torch.float64)


def points():
    return POINTS.points.double(), torch.full((3,), 1 / 3, dtype=torch.float64)


NORMAL = isotropic([[0.0, 0.0]], 1.0)
LAWS = {
    "mixture": (MIXTURE, lambda: grid(MIXTURE, 0.42)),
    "circle": (Circle(2.0), circle),
    "points": (POINTS, points),
}
SOURCES = {"elongated": SOURCE, "round": ROUND, "normal": None}


def by_sums(source, density, x, of):
    """log p_t(x), E[x'_t | x_t = x] and E[z | x_t = x] by a sum over both ends; z is then (x - a x_1 - b x_0) / g."""
    a, b, g, a_rate, b_rate, g_rate = of
    (x0, w0), (x1, w1) = source, density
    found = []
    for at in x:
        z1, z2 = ((at[k] - b * x0[:, k, None] - a * x1[:, k]) / g for k in (0, 1))
        r = torch.exp(-0.5 * (z1.square() + z2.square())) * w1 * w0[:, None]
        p = r.sum()
        z = torch.stack([(r * z1).sum(), (r * z2).sum()]) / p
        speed = a_rate * (r.sum(0) @ x1) / p + b_rate * (r.sum(1) @ x0) / p + g_rate * z
        found.append((p.log() - math.log(2 * math.pi * g**2), speed, z))
    return tuple(torch.stack(each) for each in zip(*found, strict=True))


@pytest.mark.parametrize(("path", "gamma"), [("linear", "bridge"), ("cosine", "smooth")])
@pytest.mark.parametrize(
    ("source", "law"), [("elongated", "mixture"), *((s, p) for s in ("round", "normal") for p in LAWS)]
)
def test_velocity_and_score_agree_with_sums_over_both_ends(source, law, path, gamma):
    from_law = NORMAL if SOURCES[source] is None else SOURCES[source]
    starts, (density, nodes) = grid(from_law, 0.35), LAWS[law]
    here, x = Interpolant(PATHS[path](SOURCES[source]), GAMMAS[gamma]), normal(2)
    for t in (0.3, 0.6):
        _, speed, z = by_sums(starts, nodes(), x, shares(path, gamma, t))
        assert (here.velocity(density, x, t) - speed).abs().max() < 1e-9
        assert (here.score(density, x, t) + z / shares(path, gamma, t)[2]).abs().max() < 1e-9


def at_the_ends(source, path, gamma, x):
    """v(x, 0) and v(x, 1): E x_1 - x and x - E x_0, with -+ a/2 times the score of source and data of the bridge.

    On the cosine path they are pi/2 E x_1 and -pi/2 E x_0; the smooth gamma has no part in them.
    """
    rate = 1.0 if gamma == "bridge" else 0.0
    mean0, mean1 = (p.weights @ p.means for p in (source, MIXTURE))
    means = (mean1 - x, x - mean0) if path == "linear" else (math.pi / 2 * mean1, -math.pi / 2 * mean0)
    return means[0] - rate * source.score(x), means[1] + rate * MIXTURE.score(x)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("source", SOURCES)
def test_velocity_and_score_at_both_ends(source, path, gamma):
    here, x = Interpolant(PATHS[path](SOURCES[source]), GAMMAS[gamma]), normal(5)
    law = NORMAL if SOURCES[source] is None else SOURCES[source]
    first, last = at_the_ends(law, path, gamma, x)
    torch.testing.assert_close(here.velocity(MIXTURE, x, 0.0), first, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here.velocity(MIXTURE, x, 1.0), last, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here.score(MIXTURE, x, 0.0), law.score(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here.score(MIXTURE, x, 1.0), MIXTURE.score(x), rtol=1e-9, atol=1e-9)


def test_from_round_components_to_a_law_that_is_no_mixture_at_both_ends():
    """Its own score enters at t = 1, where the noise is gone."""
    p, x = TwoMoons().noised(0.4), normal(5)
    here = Interpolant(Linear(ROUND), bridge)
    y, last = x - ROUND.weights @ ROUND.means, p.score(x)
    torch.testing.assert_close(here.velocity(p, x, 1.0), y + last, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here.score(p, x, 1.0), last, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here.score(p, x, 0.0), ROUND.score(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("source", SOURCES)
def test_one_time_per_point_and_single_precision(source):
    here, x = Interpolant(Linear(SOURCES[source]), bridge), normal(4, 3)
    t = torch.linspace(0, 1, 12, dtype=torch.float64).view(4, 3)
    for field in (here.velocity, here.score):
        each = [field(MIXTURE, y, float(s)) for y, s in zip(x.view(-1, 2), t.view(-1), strict=True)]
        torch.testing.assert_close(field(MIXTURE, x, t), torch.stack(each).view(4, 3, 2), rtol=1e-10, atol=1e-10)
        single = field(MIXTURE, x.float(), t.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), field(MIXTURE, x, t), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize(("source", "law"), [("elongated", "mixture"), ("round", "circle"), ("normal", "points")])
def test_the_law_of_x_t_moves_with_the_velocity(source, law, gamma):
    """d log p_t / dt + div v + v . s = 0, with p_t by sums over both ends and derivatives by central differences."""
    from_law, (density, nodes) = NORMAL if SOURCES[source] is None else SOURCES[source], LAWS[law]
    here, x, t, h = Interpolant(Linear(SOURCES[source]), GAMMAS[gamma]), normal(2), 0.4, 1e-4
    log_p = [by_sums(grid(from_law, 0.35), nodes(), x, shares("linear", gamma, s))[0] for s in (t - h, t + h)]
    change = (log_p[1] - log_p[0]) / (2 * h)
    steps = h * torch.eye(2, dtype=torch.float64)
    there, back = (here.velocity(density, x[:, None] + sign * steps, t) for sign in (1, -1))
    divergence = (there - back).diagonal(dim1=-2, dim2=-1).sum(-1) / (2 * h)
    pull = (here.velocity(density, x, t) * here.score(density, x, t)).sum(-1)
    assert (change + divergence + pull).abs().max() < 1e-6


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("path", PATHS)
def test_from_a_normal_source_the_latent_noise_is_another_schedule(path, gamma):
    def widened(t):
        return (plain.sigma(t) ** 2 + GAMMAS[gamma](t) ** 2).sqrt()

    plain = PATHS[path]()
    here, other = Interpolant(plain, GAMMAS[gamma]), GaussianPath(plain.alpha, widened)
    x, t = normal(40), torch.rand(40, dtype=torch.float64, generator=generator(1))
    for density in (MIXTURE, Circle(2.0)):
        torch.testing.assert_close(here.velocity(density, x, t), other.velocity(density, x, t), rtol=1e-9, atol=1e-9)


PLAIN = {
    "linear": Linear(),
    "cosine": cosine(),
    "linear, elongated": Linear(SOURCE),
    "cosine, round": cosine(ROUND),
}


@pytest.mark.parametrize("path", PLAIN.values(), ids=PLAIN)
def test_without_noise_it_is_the_path_bit_for_bit(path):
    here, x, x1 = Interpolant(path, none), normal(30), normal(30, seed=1)
    t = torch.cat([torch.linspace(0, 1, 29, dtype=torch.float64), torch.tensor([1e-7]).double()])
    laws = [MIXTURE] if path.source is SOURCE else [MIXTURE, Circle(2.0).noised(0.3)]
    for density in laws:
        assert torch.equal(here.velocity(density, x, t), path.velocity(density, x, t))
    plain, drawn = draw(path, x1, generator=generator(3)), draw(here, x1, generator=generator(3))
    for name in ("x0", "t", "x", "target"):
        assert torch.equal(getattr(plain, name), getattr(drawn, name))
    losses = [FlowMatching(each)(lambda y, s: y + s[:, None], x1, generator=generator(3)) for each in (path, here)]
    assert torch.equal(*losses)
    if isinstance(path, Linear):
        assert here.irreducible(MIXTURE, 0.3) == pytest.approx(path.irreducible(MIXTURE, 0.3), rel=1e-7)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("path", PLAIN.values(), ids=PLAIN)
def test_a_draw_is_on_its_path_and_its_derivative_has_the_same_noise(path, gamma):
    """Six standard errors, at most sqrt(3 / 20,000) each, of six means: wrong in 1e-8 of all runs."""
    here, x1, h = Interpolant(path, GAMMAS[gamma]), normal(20_000), 1e-6
    drawn = draw(here, x1, generator=generator(4))
    assert torch.equal(drawn.x, draw(here, x1, generator=generator(4)).x)
    ends = drawn.x0, x1
    torch.testing.assert_close(drawn.x, path.point(*ends, drawn.t) + GAMMAS[gamma](drawn.t)[:, None] * drawn.z)
    t = drawn.t.clamp(0.01, 0.99)
    slope = (here.point(*ends, t + h, drawn.z) - here.point(*ends, t - h, drawn.z)) / (2 * h)
    torch.testing.assert_close(slope, here.derivative(*ends, t, drawn.z), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(drawn.target, here.derivative(*ends, drawn.t, drawn.z))
    bound = 6 * math.sqrt(3 / 20_000)
    assert (drawn.z.square().mean(0) - 1).abs().max() < bound and drawn.z.mean(0).abs().max() < bound
    assert ((drawn.z * drawn.x0).mean(0) / drawn.x0.square().mean(0).sqrt()).abs().max() < bound


def test_no_time_of_a_draw_is_0_where_the_noise_moves_infinitely_fast(monkeypatch):
    monkeypatch.setattr(sys.modules["toylab.paths.draw"], "uniform", lambda shape, **_: torch.zeros(shape))
    drawn = draw(Interpolant(Linear(), bridge), torch.zeros(5, 2), generator=generator())
    assert drawn.target.isfinite().all() and drawn.t.max() < 1e-7
    losses = FlowMatching(Interpolant(Linear(), bridge))(lambda x, t: x, torch.zeros(5, 2), generator=generator())
    assert losses.isfinite().all()


@pytest.mark.parametrize("gamma", GAMMAS)
def test_irreducible_loss_between_normal_laws(gamma):
    """There tr Cov(x'_t | x_t) is tr D + tr C + 2 g'^2 - tr (S'/2 S^-1 S'/2), and the half of 2 g'^2 is left out."""
    D, C, eye = SOURCE.covariances[0], MIXTURE.covariances[1], torch.eye(2, dtype=torch.float64)
    ends = (GaussianMixture([1.0], [[0.0, 1.0]], D[None]), GaussianMixture([1.0], [[2.0, 0.0]], C[None]))
    here = Interpolant(Linear(ends[0]), GAMMAS[gamma])
    for t in (0.2, 0.7):
        a, b, g, *_, g_rate = shares("linear", gamma, t)
        S, slope = b**2 * D + a**2 * C + g**2 * eye, a * C - b * D + g * g_rate * eye
        expected = 0.5 * float(torch.trace(D + C - slope @ torch.linalg.solve(S, slope)))
        assert here.irreducible(ends[1], t) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_irreducible_loss_from_a_normal_source(gamma):
    """The velocity is that of a wider noise w, so that sigma'^2 - w'^2 more is left than on the path of w."""
    plain = Linear()
    here, t = Interpolant(plain, GAMMAS[gamma]), torch.tensor(0.7, dtype=torch.float64)
    wide = GaussianPath(plain.alpha, lambda t: ((1 - t) ** 2 + GAMMAS[gamma](t) ** 2).sqrt())
    expected = 1 - float(wide.rates(t)[1]) ** 2 + wide.irreducible(MIXTURE, 0.7)
    assert here.irreducible(MIXTURE, 0.7) == pytest.approx(expected, rel=1e-7)


def test_misuse():
    x = torch.zeros(3, 2)
    here = Interpolant(Linear(SOURCE), bridge)
    with pytest.raises(TypeError, match=r"path is .*the path to be noised, such as Linear\(\)"):
        Interpolant(here, bridge)
    with pytest.raises(ValueError, match=r"gamma gives \[0.0, 1.0\] at the times 0 and 1"):
        Interpolant(Linear(), lambda t: t)
    with pytest.raises(ValueError, match="gamma gives .* not negative"):
        Interpolant(Linear(), lambda t: t * (t - 1))
    with pytest.raises(ValueError, match="gamma gives a float"):
        Interpolant(Linear(), lambda t: 0.5)
    with pytest.raises(ValueError, match=r"z is \[2, 2\].*Give z.to\(x1\), one row for each"):
        here.point(x, x, 0.5, x[:2])
    for field in (here.velocity, here.score):
        with pytest.raises(ValueError, match="exact velocity is known from"):
            field(Square(), x, 0.5)
        with pytest.raises(TypeError, match="density"):
            field(MIXTURE.score, x, 0.5)
    with pytest.raises(ValueError, match="between Gaussian mixtures alone"):
        FlowMatching(Interpolant(Linear(), bridge)).offset(Circle())
    with pytest.raises(ValueError, match="sigma"):
        Interpolant(Linear(ROUND), bridge).velocity(Circle(), x, 1.0)
