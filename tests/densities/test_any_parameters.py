"""What must hold for any parameters: derivatives, noise, motion."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toylab.densities import (
    Banana,
    Checkerboard,
    Circle,
    Funnel,
    GaussianMixture,
    Laplace,
    Mixture,
    Points,
    Segment,
    Spiral,
    Square,
    StudentTMixture,
    TwoMoons,
)

METHODS = ["log_prob", "score", "divergence"]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


# For any parameters. Every law is drawn with moderate shapes; the points are where its mass is, and up to about three
# noise levels away.

numbers = st.floats(-3, 3).map(lambda t: round(t, 3))
sizes = st.floats(0.2, 2).map(lambda t: round(t, 3))
levels = st.floats(0.15, 3).map(lambda t: round(t, 3))
pairs = st.tuples(numbers, numbers)


def matrix(long, short, angle):
    """Symmetric, of eigenvalues long^2 and short^2."""
    c, s = math.cos(angle), math.sin(angle)
    a, b = long**2, short**2
    return [[a * c * c + b * s * s, (a - b) * c * s], [(a - b) * c * s, a * s * s + b * c * c]]


matrices = st.builds(matrix, sizes, sizes, numbers)


def mixtures(build, most):
    """``build(weights, centres, matrices)`` with 1 to ``most`` components."""
    component = st.tuples(st.integers(1, 9), pairs, matrices)

    def assemble(components):
        weights, centres, shapes = zip(*components, strict=True)
        return build([w / sum(weights) for w in weights], list(centres), list(shapes))

    return st.lists(component, min_size=1, max_size=most).map(assemble)


DENSITIES = {
    "gaussians": mixtures(GaussianMixture, 4),
    # fewer degrees of freedom are left out: the noised law is only good to 1e-3 there (nu = 3), or worse (nu = 1)
    "student": st.integers(12, 40).flatmap(
        lambda nu: mixtures(lambda w, m, S: StudentTMixture(w, m, S, [nu] * len(w)), 2)
    ),
    "square": st.builds(lambda low, width: Square(low, low + width), numbers, sizes),
    "laplace": st.builds(lambda a, b: Laplace((a, b)), sizes, sizes),
    "segment": st.builds(lambda a, b, x: Segment(x, (x[0] + a, x[1] - b)), sizes, sizes, pairs),
    "circle": st.builds(Circle, sizes, pairs),
    "points": st.lists(pairs, min_size=1, max_size=5).map(lambda rows: Points([list(row) for row in rows])),
    "moons": st.just(TwoMoons()),
    "spiral": st.builds(lambda rate, start, turns: Spiral(rate / 5, start, start + 4 * turns), sizes, sizes, sizes),
    "board": st.just(Checkerboard()),
    "banana": st.builds(lambda s, w, b: Banana(s, w, b / 4), sizes, sizes, numbers),
    "funnel": st.builds(Funnel, sizes),
}
DENSITIES["mixture"] = st.builds(
    lambda p, q, r: Mixture([0.2, 0.3, 0.5], [p, q, r]),
    DENSITIES["square"],
    DENSITIES["gaussians"],
    DENSITIES["circle"],
)
every_density = pytest.mark.parametrize("name", DENSITIES)
quick = settings(derandomize=True, deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])


def places(p, sigma, n=6):
    x = p.to(torch.float64).sample((n,), generator=generator(7))
    return x + sigma * torch.linspace(0.1, 3, n, dtype=torch.float64)[:, None] * randn(n, 2, seed=8)


def check_derivatives(p, x, sigma):
    """Score and divergence by five-point rules, of step h = 0.003 of the shortest length.

    Truncation is h^4 / 30 = 3e-12 of a fifth derivative: midway between two points ten lengths apart, that of a
    logistic curve of slope 10, of order 1e5. Rounding is eps |log p| / h, below 1e-11.
    """
    length = p.length_scale(sigma)
    steps = 0.003 * length * torch.eye(2, dtype=torch.float64)

    def slopes(f):
        minus2, minus, plus, plus2 = (torch.stack([f(x + k * e) for e in steps], -1) for k in (-2, -1, 1, 2))
        return (minus2 - 8 * minus + 8 * plus - plus2) / (12 * 0.003 * length)

    score = p.score(x, sigma)
    jacobian = slopes(lambda y: p.score(y, sigma))
    torch.testing.assert_close(score, slopes(lambda y: p.log_prob(y, sigma)), rtol=1e-6, atol=1e-6 / length)
    assert (jacobian - jacobian.mT).abs().max() < 1e-6 / length**2  # a gradient has a symmetric Jacobian
    trace = jacobian.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(p.divergence(x, sigma), trace, rtol=1e-6, atol=1e-6 / length**2)


@every_density
@quick
@given(data=st.data(), sigma=levels)
def test_score_and_divergence_are_central_differences(name, data, sigma):
    p = data.draw(DENSITIES[name])
    check_derivatives(p, places(p, sigma), sigma)


SMOOTH = {name: DENSITIES[name] for name in ("gaussians", "student", "banana")} | {
    "funnel": st.builds(lambda scale: Funnel(scale / 2), sizes),
    "heavy tails": st.integers(1, 12).flatmap(
        lambda nu: mixtures(lambda w, m, S: StudentTMixture(w, m, S, [nu / 2] * len(w)), 2)
    ),
    "mixture": st.builds(lambda p, q: Mixture([0.4, 0.6], [p, q]), DENSITIES["gaussians"], DENSITIES["banana"]),
}


@pytest.mark.parametrize("name", SMOOTH)
@quick
@given(data=st.data())
def test_so_they_are_without_noise(name, data):
    p = data.draw(SMOOTH[name])
    check_derivatives(p, places(p, p.length_scale()), 0.0)


@every_density
@quick
@given(data=st.data(), a=levels, b=levels)
def test_noising_twice_adds_variances(name, data, a, b):
    p = data.draw(DENSITIES[name])
    x = places(p, math.hypot(a, b))
    for method in METHODS:
        once = getattr(p.noised(math.hypot(a, b)), method)(x)
        torch.testing.assert_close(getattr(p.noised(a).noised(b), method)(x), once, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(getattr(p.noised(b), method)(x, a), once, rtol=1e-9, atol=1e-9)


@every_density
@quick
@given(data=st.data(), sigma=levels, factor=sizes, mirrored=st.booleans(), angle=numbers, shift=pairs)
def test_a_moved_law_is_the_law_of_the_moved_points(name, data, sigma, factor, mirrored, angle, shift):
    """y = a R x + c: p_Y(y) = p_X(x) / a^2 with noise sigma / |a| on X, the score a R s / a^2, the divergence / a^2."""
    p = data.draw(DENSITIES[name])
    factor = -factor if mirrored else factor
    inner, turn, offset = sigma / abs(factor), rotation(angle), torch.tensor(shift, dtype=torch.float64)
    x = places(p, inner)
    y = factor * x @ turn.T + offset
    q = p.scaled(factor).rotated(angle).shifted(shift)
    # y is rounded at 1e-15 of a size of 10, which a noise level of 0.07 or more turns into 1e-12 of what is compared
    allowed = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(q.log_prob(y, sigma), p.log_prob(x, inner) - 2 * math.log(abs(factor)), **allowed)
    torch.testing.assert_close(q.score(y, sigma), p.score(x, inner) @ turn.T / factor, **allowed)
    torch.testing.assert_close(q.divergence(y, sigma), p.divergence(x, inner) / factor**2, **allowed)
    if not isinstance(p, GaussianMixture):  # which is moved by its parameters: its draws have the law, not the numbers
        twin = p.to(torch.float64)
        moved = factor * twin.sample((5,), generator=generator(9)) @ turn.T + offset
        draws = twin.scaled(factor).rotated(angle).shifted(shift).sample((5,), generator=generator(9))
        torch.testing.assert_close(draws, moved, rtol=1e-12, atol=1e-12)


def rotation(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def image(p, factor, angle, shift):
    """The law of factor R X + shift by other parameters of the same family: no wrapper in sight."""
    turn, shift = rotation(angle), torch.tensor(shift, dtype=torch.float64)

    def place(x):
        return factor * torch.as_tensor(x, dtype=torch.float64) @ turn.T + shift

    def shape(S):
        return factor**2 * turn @ S @ turn.T

    match p:
        case GaussianMixture():
            return GaussianMixture(p.weights, place(p.means), shape(p.covariances))
        case StudentTMixture():
            return StudentTMixture(p.weights, place(p.locations), shape(p.scales), p.dfs)
        case Segment():
            return Segment(place(p.start), place(p.end))
        case Circle():
            return Circle(abs(factor) * p.radius, place(p.center))
        case Points():
            return Points(place(p.points))


@pytest.mark.parametrize("name", ["gaussians", "student", "segment", "circle", "points"])
@quick
@given(data=st.data(), sigma=levels, factor=sizes, mirrored=st.booleans(), angle=numbers, shift=pairs)
def test_a_moved_law_is_one_of_its_family(name, data, sigma, factor, mirrored, angle, shift):
    p = data.draw(DENSITIES[name])
    factor = -factor if mirrored else factor
    same, q = image(p, factor, angle, shift), p.scaled(factor).rotated(angle).shifted(shift)
    x = places(same, sigma)
    for method in METHODS:
        expected = getattr(same, method)(x, sigma)
        torch.testing.assert_close(getattr(q, method)(x, sigma), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(getattr(q.noised(sigma), method)(x), expected, rtol=1e-9, atol=1e-9)


@quick
@given(name=st.sampled_from(["square", "laplace", "spiral"]), data=st.data(), sigma=levels, factor=sizes)
def test_a_law_on_the_axes_scaled_is_one_of_its_family(name, data, sigma, factor):
    p = data.draw(DENSITIES[name])
    match p:
        case Square():
            same = Square(factor * p.low, factor * p.high)
        case Laplace():
            same = Laplace([factor * b for b in p.scales])
        case Spiral():
            same = Spiral(factor * p.rate, p.start, p.end)
    x = places(same, sigma)
    for method in METHODS:
        expected = getattr(same, method)(x, sigma)
        torch.testing.assert_close(getattr(p.scaled(factor).noised(sigma), method)(x), expected, rtol=1e-9, atol=1e-9)


def mass(p, sigma):
    """By the trapezoid rule at 1.5 nodes a length: 2 exp(-2 pi^2 1.5^2) = 1e-19 is what it misses on a Gaussian."""
    low, high = p.bounds(sigma)
    step = p.length_scale(sigma) / 1.5
    axes = [
        torch.linspace(float(a), float(b), math.ceil(float(b - a) / step) + 1, dtype=torch.float64)
        for a, b in zip(low, high, strict=True)
    ]
    total = sum(float(p.log_prob(torch.cartesian_prod(rows, axes[1]), sigma).exp().sum()) for rows in axes[0].split(64))
    return total * math.prod(float(axis[1] - axis[0]) for axis in axes)


INTEGRATED = {
    name: DENSITIES[name] for name in ("gaussians", "square", "segment", "circle", "points", "moons", "spiral", "board")
} | {
    "laplace": st.builds(lambda a, b: Laplace((a / 2, b / 2)), sizes, sizes),
    "banana": st.builds(lambda s, w, b: Banana(s / 2, w / 2, b / 10), sizes, sizes, numbers),
}


@pytest.mark.parametrize("name", INTEGRATED)
@settings(parent=quick, max_examples=6)
@given(data=st.data(), sigma=st.floats(0.5, 3))
def test_the_density_integrates_to_one(name, data, sigma):
    assert mass(data.draw(INTEGRATED[name]), sigma) == pytest.approx(1, abs=1e-8)
