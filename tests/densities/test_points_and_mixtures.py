"""Point masses, segments, circles and mixtures against independent sums; and what must hold for any parameters."""

import math

import mpmath
import pytest
import scipy.stats
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toylab.densities import (
    Banana,
    Checkerboard,
    Circle,
    ConcentricCircles,
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
    two_modes,
)

SIGMAS = [1e-3, 0.03, 0.3, 3.0, 100.0]
METHODS = ["log_prob", "score", "divergence"]
every_sigma = pytest.mark.parametrize("sigma", SIGMAS)
FAR = [(50 * math.cos(a), 50 * math.sin(a)) for a in (0.0, 0.5 * math.pi, 0.3, 1.3, 2.4, 3.3, 4.4, 5.5)]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def compare(density, places, sigma, exact, tolerance=1e-9):
    """Log-density and divergence relative to themselves, score to its norm.

    Zeros are held to 1e-12 of what one unit of noise makes: 1, 1/sigma and 1/sigma^2.
    """
    x = torch.tensor(places, dtype=torch.float64)
    for point, log_p, score, divergence in zip(
        x.tolist(), density.log_prob(x, sigma), density.score(x, sigma), density.divergence(x, sigma), strict=True
    ):
        with mpmath.workdps(60):
            true_log_p, true_score, true_divergence = exact([mpmath.mpf(t) for t in point], mpmath.mpf(sigma))
            true_log_p, true_divergence = float(true_log_p), float(true_divergence)
            true_score = [float(part) for part in true_score]
        where = f"{density!r} at {point}, sigma {sigma}"
        assert float(log_p) == pytest.approx(true_log_p, rel=tolerance, abs=1e-12), where
        norm = math.hypot(*true_score)
        assert math.dist(score.tolist(), true_score) <= tolerance * norm + 1e-12 / sigma, where
        assert float(divergence) == pytest.approx(true_divergence, rel=tolerance, abs=1e-12 / sigma**2), where


def mean_of_parts(weights, log_probs, scores, divergences):
    """log p, score and divergence of a mixture in mpmath's numbers, from p, p s and p (div s + |s|^2) of its parts."""
    top = max(log_probs)
    masses = [w * mpmath.exp(log_p - top) for w, log_p in zip(weights, log_probs, strict=True)]
    total = mpmath.fsum(masses)
    score = [mpmath.fsum(m * s[i] for m, s in zip(masses, scores, strict=True)) / total for i in (0, 1)]
    laplacian = mpmath.fsum(
        m * (div + s[0] ** 2 + s[1] ** 2) for m, s, div in zip(masses, scores, divergences, strict=True)
    )
    return mpmath.log(total) + top, score, laplacian / total - score[0] ** 2 - score[1] ** 2


# Points.

CLOUD = [[-1.0, 0.0], [1.0, 0.0], [0.2, 2.5], [-3.1, -1.7], [0.2, 2.5]]  # one of them twice


def exact_points(x, sigma):
    scores = [[(mpmath.mpf(c) - t) / sigma**2 for c, t in zip(centre, x, strict=True)] for centre in CLOUD]
    log_probs = [-(sigma**2) * (s[0] ** 2 + s[1] ** 2) / 2 - mpmath.log(2 * mpmath.pi * sigma**2) for s in scores]
    weights, divergences = [mpmath.mpf(1) / len(CLOUD)] * len(CLOUD), [-2 / sigma**2] * len(CLOUD)
    return mean_of_parts(weights, log_probs, scores, divergences)


@every_sigma
def test_points_in_high_precision_out_to_the_far_tails(sigma):
    # on a point, exactly between two, near one, in the middle of all, and far out
    places = [(1.0, 0.0), (0.0, 0.0), (0.0, 0.4), (1.0 + sigma, 0.0), (0.2, 2.5 - 2 * sigma), (-0.5, -0.9), *FAR]
    compare(Points(CLOUD), places, sigma, exact_points)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 2.0])
def test_points_are_a_kernel_density_estimate(sigma):
    """scipy's kernel has the covariance of the data times a factor: data of covariance I make it round."""
    raw = randn(40, 2)
    raw = raw - raw.mean(0)
    root = torch.linalg.cholesky(raw.T @ raw / (len(raw) - 1))
    data = torch.linalg.solve_triangular(root, raw.T, upper=False).T
    kde = scipy.stats.gaussian_kde(data.T.numpy(), bw_method=sigma)
    x = 2 * randn(50, 2, seed=1)
    expected = torch.as_tensor(kde.logpdf(x.T.numpy()))
    torch.testing.assert_close(Points(data).log_prob(x, sigma), expected, rtol=1e-9, atol=1e-9)


def test_points_know_which_one_a_noisy_draw_comes_from():
    """Bayes' rule by hand: log-odds of (1, 0) against (-1, 0) at x are 2 x_1 / sigma^2."""
    x = torch.tensor([[0.1, 7.0], [-0.3, 0.0]], dtype=torch.float64)
    r = Points([[-1.0, 0.0], [1.0, 0.0]]).posterior(x, 0.5)
    torch.testing.assert_close(r[:, 1], torch.sigmoid(2 * x[:, 0] / 0.25))
    torch.testing.assert_close(r.sum(-1), torch.ones(2, dtype=torch.float64))


def test_draws_of_points_are_these_points_equally_often():
    """Chi-square of 1e5 draws, p > 1e-6."""
    cloud = randn(7, 2)
    x = Points(cloud).sample((100_000,), generator=generator(3))
    which = (x[:, None] == cloud).all(-1)
    assert bool((which.sum(-1) == 1).all())
    assert scipy.stats.chisquare(which.sum(0).numpy()).pvalue > 1e-6


def test_draws_of_a_noised_point_are_normal():
    """Kolmogorov-Smirnov of 1e5 draws, p > 1e-6 each; the noise of both coordinates is independent."""
    p, n = Points([[2.0, -1.0]]).to(torch.float64).noised(0.3).noised(0.4), 100_000
    z = (p.sample((n,), generator=generator(10)) - torch.tensor([2.0, -1.0])) / 0.5
    for column in z.unbind(-1):
        assert scipy.stats.kstest(column.numpy(), "norm").pvalue > 1e-6
    assert abs(float(z.prod(-1).mean())) * math.sqrt(n) < 5


# Segments: an interval along, a Gaussian across.

SEGMENTS = [Segment(), Segment((-3.0, -2.0), (3.0, 2.0)), Segment((0.5, 1.0), (0.4997, 1.0004))]


def exact_segment(segment):
    def exact(x, sigma):
        start, end = ([mpmath.mpf(t) for t in corner] for corner in (segment.start, segment.end))
        length = mpmath.hypot(end[0] - start[0], end[1] - start[1])
        along = [(b - a) / length for a, b in zip(start, end, strict=True)]
        offset = [t - a for t, a in zip(x, start, strict=True)]
        u, v = offset[0] * along[0] + offset[1] * along[1], offset[1] * along[0] - offset[0] * along[1]
        mirrored = u < length / 2  # so that both ends are in the same tail of the error function
        a, b = (length - u - length if mirrored else u - length) / sigma, (length - u if mirrored else u) / sigma
        p = (mpmath.erfc(a / mpmath.sqrt(2)) - mpmath.erfc(b / mpmath.sqrt(2))) / 2
        slope = (mpmath.npdf(b) - mpmath.npdf(a)) / sigma / p
        curvature = (a * mpmath.npdf(a) - b * mpmath.npdf(b)) / sigma**2 / p - slope**2
        slope, pull = -slope if mirrored else slope, -v / sigma**2
        score = [slope * along[0] - pull * along[1], slope * along[1] + pull * along[0]]
        return mpmath.log(p / length) + mpmath.log(mpmath.npdf(v, 0, sigma)), score, curvature - 1 / sigma**2

    return exact


@every_sigma
@pytest.mark.parametrize("segment", SEGMENTS, ids=repr)
def test_segments_in_high_precision_out_to_the_far_tails(segment, sigma):
    (a1, a2), (b1, b2) = segment.start, segment.end
    # the ends, the middle, places along it and beyond, some noise levels to the side, and far out
    along = [(a1 + t * (b1 - a1), a2 + t * (b2 - a2)) for t in (0.0, 0.1, 0.5, 1.0, 1.3, -2.0)]
    aside = [(x - 2 * sigma, y + 1.5 * sigma) for x, y in along[:4]]
    compare(segment, [*along, *aside, *FAR], sigma, exact_segment(segment))


def test_draws_of_a_segment_lie_on_it_evenly():
    """Kolmogorov-Smirnov of 1e5 draws, p > 1e-6."""
    x = Segment((-1.0, 2.0), (3.0, -1.0)).to(torch.float64).sample((100_000,), generator=generator(4))
    along = (x - torch.tensor([-1.0, 2.0])) @ torch.tensor([0.8, -0.6], dtype=torch.float64)
    across = (x - torch.tensor([-1.0, 2.0])) @ torch.tensor([0.6, 0.8], dtype=torch.float64)
    assert float(across.abs().max()) < 1e-14
    assert scipy.stats.kstest((along / 5).numpy(), "uniform").pvalue > 1e-6


# Circles about one centre.


def exact_circles(radii, weights):
    def exact(x, sigma):
        r, parts = mpmath.hypot(*x), []
        for R in map(mpmath.mpf, radii):
            kappa = r * R / sigma**2
            i0, i1 = (mpmath.besseli(order, kappa) for order in (0, 1))
            log_p = -mpmath.log(2 * mpmath.pi * sigma**2) - (r**2 + R**2) / (2 * sigma**2) + mpmath.log(i0)
            radial = (R * i1 / i0 - r) / sigma**2
            score = [radial * t / r if r else mpmath.mpf(0) for t in x]
            parts.append((log_p, score, -2 / sigma**2 + (R / sigma**2) ** 2 * (1 - (i1 / i0) ** 2)))
        return mean_of_parts([mpmath.mpf(w) for w in weights], *zip(*parts, strict=True))

    return exact


@every_sigma
@pytest.mark.parametrize(("radii", "weights"), [([1.0, 2.5, 4.0], [0.5, 0.25, 0.25]), ([0.5, 0.75], [0.125, 0.875])])
def test_concentric_circles_against_bessel_functions(radii, weights, sigma):
    on_circles = [(0.6 * R, -0.8 * R) for R in radii]
    between = [(0.5 * (radii[0] + radii[1]), 0.0), (0.0, -0.9 * radii[0]), (0.3 * radii[0], 0.1), (radii[1] + sigma, 0)]
    compare(
        ConcentricCircles(radii, weights),
        [(0.0, 0.0), (1e-7, -1e-7), *on_circles, *between, *FAR],
        sigma,
        exact_circles(radii, weights),
    )


def test_concentric_circles_are_equally_likely_unless_told():
    assert ConcentricCircles([1.0, 2.0, 3.0, 4.0]).weights.tolist() == [0.25] * 4
    assert ConcentricCircles([1.0, 2.0]) == ConcentricCircles([1.0, 2.0], [0.5, 0.5])
    x = randn(9, 2)
    torch.testing.assert_close(ConcentricCircles([1.5]).log_prob(x, 0.3), Circle(1.5).log_prob(x, 0.3))


def test_draws_of_concentric_circles_have_the_weights_and_uniform_angles():
    """Chi-square and Kolmogorov-Smirnov of 1e5 draws, p > 1e-6 each."""
    radii = torch.tensor([0.5, 2.0, 2.25], dtype=torch.float64)
    x = ConcentricCircles(radii, [0.2, 0.5, 0.3]).sample((100_000,), generator=generator(5))
    which = (x.norm(dim=-1, keepdim=True) - radii).abs() < 1e-12
    assert bool((which.sum(-1) == 1).all())
    assert scipy.stats.chisquare(which.sum(0).numpy(), [20_000, 50_000, 30_000]).pvalue > 1e-6
    for k in range(3):
        turns = torch.atan2(*x[which[:, k]].flip(-1).unbind(-1)) / (2 * math.pi) + 0.5
        assert scipy.stats.kstest(turns.numpy(), "uniform").pvalue > 1e-6


# Mixtures of any laws.

GAUSSIANS = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
SINGLE = [GaussianMixture([1.0], m[None], C) for m, C in zip(GAUSSIANS.means, GAUSSIANS.covariances, strict=True)]


@pytest.mark.parametrize("method", [*METHODS, "posterior"])
@pytest.mark.parametrize("sigma", [0.0, 0.05, 2.0, torch.linspace(0, 3, 40, dtype=torch.float64)])
def test_a_mixture_of_gaussians_is_the_gaussian_mixture(method, sigma):
    x = 4 * randn(40, 2)
    mixed = Mixture(GAUSSIANS.weights, SINGLE)
    nested = Mixture([0.8, 0.2], [Mixture([0.375, 0.625], SINGLE[:2]), SINGLE[2]])
    expected = getattr(GAUSSIANS, method)(x, sigma)
    torch.testing.assert_close(getattr(mixed, method)(x, sigma), expected, rtol=1e-11, atol=1e-11)
    if method != "posterior":
        torch.testing.assert_close(getattr(nested, method)(x, sigma), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("method", [*METHODS, "log_prob_and_score", "posterior"])
@pytest.mark.parametrize("part", [Circle(), Points([[0.0, 0.0]]), Segment(), TwoMoons()], ids=repr)
def test_with_a_part_that_has_no_density_sigma_must_be_positive(part, method):
    p, x = Mixture([0.5, 0.5], [two_modes(), part]), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="sigma is 0: .*has no density of its own. Give a noise level sigma > 0"):
        getattr(p, method)(x)
    result = getattr(p, method)(x, 0.1)
    for values in result if isinstance(result, tuple) else [result]:
        assert bool(values.isfinite().all())


def test_where_a_part_has_no_mass_it_has_no_say():
    """Two clean squares that overlap, and a Gaussian: outside a square its score is nan, and must not spread."""
    left, right = Square(-2.0, 1.0), Square(0.0, 2.0)
    p = Mixture([0.25, 0.75], [left, right])
    x = torch.tensor([[-1.0, -1.0], [0.5, 0.5], [1.5, 1.5], [1.5, -1.5]], dtype=torch.float64)
    inside = [0.25 / 9, 0.25 / 9 + 0.75 / 4, 0.75 / 4]
    assert p.log_prob(x).tolist() == pytest.approx([math.log(height) for height in inside] + [-math.inf])
    assert p.score(x)[:3].tolist() == [[0.0, 0.0]] * 3
    assert p.divergence(x)[:3].tolist() == [0.0] * 3

    far = torch.tensor([[3.0, 0.0], [-7.0, 5.0]], dtype=torch.float64)
    with_tails = Mixture([0.5, 0.5], [left, GAUSSIANS])
    torch.testing.assert_close(with_tails.score(far), GAUSSIANS.score(far), rtol=1e-14, atol=0)
    torch.testing.assert_close(with_tails.divergence(far), GAUSSIANS.divergence(far), rtol=1e-13, atol=0)
    torch.testing.assert_close(with_tails.log_prob(far), GAUSSIANS.log_prob(far) - math.log(2), rtol=1e-14, atol=0)
    log_p, score = with_tails.log_prob_and_score(far)
    assert torch.equal(log_p, with_tails.log_prob(far))
    assert torch.equal(score, with_tails.score(far))
    assert with_tails.posterior(far).tolist() == [[0.0, 1.0]] * 2


def test_a_mixture_draws_its_parts_by_their_weights():
    """Chi-square of 1e5 draws of parts that do not overlap, p > 1e-6; and each part draws its own law."""
    parts = [Square(-9.0, -8.0), Circle(1.0), Segment((8.0, 8.0), (9.0, 8.0))]
    x = Mixture([0.2, 0.5, 0.3], parts).to(torch.float64).sample((100, 1000), generator=generator(6)).view(-1, 2)
    which = torch.stack([x[:, 0] < -7, x.norm(dim=-1) < 2, x[:, 0] > 7], -1)
    assert scipy.stats.chisquare(which.sum(0).numpy(), [20_000, 50_000, 30_000]).pvalue > 1e-6
    assert scipy.stats.kstest((x[which[:, 0], 0] + 9).numpy(), "uniform").pvalue > 1e-6
    assert scipy.stats.kstest((x[which[:, 2], 0] - 8).numpy(), "uniform").pvalue > 1e-6
    # and in no order: the parts of successive draws are independent
    left = which[:, 0].double() - 0.2
    assert abs(float((left[1:] * left[:-1]).mean())) * math.sqrt(100_000) / (0.2 * 0.8) < 5


def test_a_mixture_takes_the_dtype_of_its_first_part_and_gives_it_to_all():
    p = Mixture([0.5, 0.5], [Square().to(torch.float64), Circle()])
    assert p.dtype == torch.float64
    assert [part.dtype for part in p.densities] == [torch.float64] * 2
    assert p.sample((3,)).dtype == torch.float64
    assert [part.dtype for part in p.to(torch.float32).densities] == [torch.float32] * 2


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


LAWS = {
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
LAWS["mixture"] = st.builds(
    lambda p, q, r: Mixture([0.2, 0.3, 0.5], [p, q, r]), LAWS["square"], LAWS["gaussians"], LAWS["circle"]
)
every_law = pytest.mark.parametrize("law", LAWS)
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


@every_law
@quick
@given(data=st.data(), sigma=levels)
def test_score_and_divergence_are_central_differences(law, data, sigma):
    p = data.draw(LAWS[law])
    check_derivatives(p, places(p, sigma), sigma)


SMOOTH = {name: LAWS[name] for name in ("gaussians", "student", "banana")} | {
    "funnel": st.builds(lambda scale: Funnel(scale / 2), sizes),
    "heavy tails": st.integers(1, 12).flatmap(
        lambda nu: mixtures(lambda w, m, S: StudentTMixture(w, m, S, [nu / 2] * len(w)), 2)
    ),
    "mixture": st.builds(lambda p, q: Mixture([0.4, 0.6], [p, q]), LAWS["gaussians"], LAWS["banana"]),
}


@pytest.mark.parametrize("law", SMOOTH)
@quick
@given(data=st.data())
def test_so_they_are_without_noise(law, data):
    p = data.draw(SMOOTH[law])
    check_derivatives(p, places(p, p.length_scale()), 0.0)


@every_law
@quick
@given(data=st.data(), a=levels, b=levels)
def test_noising_twice_adds_variances(law, data, a, b):
    p = data.draw(LAWS[law])
    x = places(p, math.hypot(a, b))
    for method in METHODS:
        once = getattr(p.noised(math.hypot(a, b)), method)(x)
        torch.testing.assert_close(getattr(p.noised(a).noised(b), method)(x), once, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(getattr(p.noised(b), method)(x, a), once, rtol=1e-9, atol=1e-9)


@every_law
@quick
@given(data=st.data(), sigma=levels, factor=sizes, mirrored=st.booleans(), angle=numbers, shift=pairs)
def test_a_moved_law_is_the_law_of_the_moved_points(law, data, sigma, factor, mirrored, angle, shift):
    """y = a R x + c: p_Y(y) = p_X(x) / a^2 with noise sigma / |a| on X, the score a R s / a^2, the divergence / a^2."""
    p = data.draw(LAWS[law])
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


@pytest.mark.parametrize("law", ["gaussians", "student", "segment", "circle", "points"])
@quick
@given(data=st.data(), sigma=levels, factor=sizes, mirrored=st.booleans(), angle=numbers, shift=pairs)
def test_a_moved_law_is_one_of_its_family(law, data, sigma, factor, mirrored, angle, shift):
    p = data.draw(LAWS[law])
    factor = -factor if mirrored else factor
    same, q = image(p, factor, angle, shift), p.scaled(factor).rotated(angle).shifted(shift)
    x = places(same, sigma)
    for method in METHODS:
        expected = getattr(same, method)(x, sigma)
        torch.testing.assert_close(getattr(q, method)(x, sigma), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(getattr(q.noised(sigma), method)(x), expected, rtol=1e-9, atol=1e-9)


@quick
@given(law=st.sampled_from(["square", "laplace", "spiral"]), data=st.data(), sigma=levels, factor=sizes)
def test_a_law_on_the_axes_scaled_is_one_of_its_family(law, data, sigma, factor):
    p = data.draw(LAWS[law])
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
    name: LAWS[name] for name in ("gaussians", "square", "segment", "circle", "points", "moons", "spiral", "board")
} | {
    "laplace": st.builds(lambda a, b: Laplace((a / 2, b / 2)), sizes, sizes),
    "banana": st.builds(lambda s, w, b: Banana(s / 2, w / 2, b / 10), sizes, sizes, numbers),
}


@pytest.mark.parametrize("law", INTEGRATED)
@settings(parent=quick, max_examples=6)
@given(data=st.data(), sigma=st.floats(0.5, 3))
def test_the_density_integrates_to_one(law, data, sigma):
    assert mass(data.draw(INTEGRATED[law]), sigma) == pytest.approx(1, abs=1e-8)
