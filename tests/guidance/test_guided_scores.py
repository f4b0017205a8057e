"""Guided scores are the sums that they say they are, far out too, and every sampler takes them."""

import math

import pytest
import torch

from toylab import samplers, schedules
from toylab._internal import devices
from toylab.densities import GaussianMixture, Mixture, Points, fractal_tree, isotropic, ring, two_modes
from toylab.guidance import autoguidance, class_log_probability, classifier, classifier_free, on_interval
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.sde import VE, VP

WEIGHTS = (-0.5, 0.0, 0.5, 1.0, 3.0)
PARTS = (
    GaussianMixture([0.3, 0.7], [[-3.0, -2.0], [2.0, 4.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]]),
    isotropic([[5.0, 0.0]], 0.5),
)
P = Mixture([0.25, 0.75], PARTS)


def points(n=40, scale=1.0, dtype=torch.float64):
    return scale * torch.randn(n, 2, dtype=dtype, generator=torch.Generator().manual_seed(0))


def levels(n=40):
    return torch.logspace(-2, 2, n, dtype=torch.float64)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_weight_is_that_of_the_conditional_score(weight):
    """By the two formulas in use, each from its source: Ho & Salimans', (1 + v) s_c - v s_u, and the libraries'."""
    x, sigma, s_c, s_u = points(), levels(), PARTS[0].score, P.score
    found = classifier_free(s_c, s_u, weight)(x, sigma)
    v = weight - 1
    torch.testing.assert_close(found, (1 + v) * s_c(x, sigma) - v * s_u(x, sigma), rtol=1e-13, atol=1e-11)
    torch.testing.assert_close(found, s_u(x, sigma) + weight * (s_c(x, sigma) - s_u(x, sigma)), rtol=1e-13, atol=1e-11)
    of_denoisers = (1 - weight) * (x + sigma[:, None] ** 2 * s_u(x, sigma))
    of_denoisers += weight * (x + sigma[:, None] ** 2 * s_c(x, sigma))
    guided = x + sigma[:, None] ** 2 * autoguidance(s_c, s_u, weight)(x, sigma)
    torch.testing.assert_close(guided, of_denoisers, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
@pytest.mark.parametrize(
    ("p", "k"),
    [(P, 0), (P, 1), (P.rotated(0.4).scaled(-2.0), 0), (P.noised(0.3), 1), (two_modes(), 1), (ring(), 3)],
    ids=repr,
)
def test_with_the_exact_classifier_it_is_classifier_free_however_far_out(p, k, weight, scale):
    """Where the probability of the class underflows in either precision its gradient is s_k - s all the same."""
    x, sigma = points(scale=scale), levels()
    s_k = of_class(p, k)
    exact = classifier_free(s_k, p.score, weight)(x, sigma)
    for dtype, digits in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
        there, level = x.to(dtype), sigma.to(dtype)
        found = classifier(p.score, class_log_probability(p, k), weight)(there, level)
        size = (s_k(x, sigma).abs() + p.score(x, sigma).abs()).amax(-1, keepdim=True)
        assert float(((found.double() - exact).abs() / size).max()) < digits


def of_class(p, k):
    """The score of a component, written out for each of the laws above."""
    if p is P:
        return PARTS[k].score
    if isinstance(p, GaussianMixture):
        return (
            isotropic([p.means[k].tolist()], float(p.covariances[k, 0, 0]) ** 0.5).score if is_round(p) else one(p, k)
        )
    if repr(p).endswith(".noised(0.3)"):
        return PARTS[k].noised(0.3).score
    return PARTS[k].rotated(0.4).scaled(-2.0).score


def is_round(p):
    return bool((p.covariances == p.covariances[:, :1, :1] * torch.eye(2)).all())


def one(p, k):
    return GaussianMixture([1.0], p.means[k : k + 1].tolist(), p.covariances[k : k + 1].tolist()).score


def test_the_log_of_the_posterior_is_its_log_and_goes_on_where_that_ends():
    x, sigma = points(scale=5.0), 0.7
    for p in (P, two_modes(), P.noised(0.3), P.rotated(0.4), Points([[0.0, 1.0], [2.0, 0.0]])):
        torch.testing.assert_close(p.log_posterior(x, sigma).exp(), p.posterior(x, sigma), rtol=1e-12, atol=0)
        assert p.log_posterior(x.half(), sigma).dtype == torch.float16
    # between N(m, 1) and N(-m, 1), m = (5, 5): the odds are exp(2 m x)
    far = torch.tensor([[-1e3, -1e3]], dtype=torch.float64)
    equal = isotropic([[5.0, 5.0], [-5.0, -5.0]], 1.0)
    assert float(equal.posterior(far)[0, 0]) == 0
    assert float(equal.log_posterior(far)[0, 0]) == pytest.approx(-2e4, rel=1e-12)
    assert float(equal.log_posterior(far)[0, 1]) == 0


def test_the_fractal_tree_has_its_classes():
    p = Mixture([0.5, 0.5], [fractal_tree(0), fractal_tree(1)])
    x, sigma = points(8), 0.05
    found = classifier(p.score, class_log_probability(p, 1), 1.0)(x, sigma)
    torch.testing.assert_close(found, fractal_tree(1).score(x, sigma), rtol=1e-9, atol=1e-9)


def test_guidance_on_an_interval_is_at_each_level_one_of_both():
    x, sigma = points(), levels()
    guided, plain = classifier_free(PARTS[0].score, P.score, 3.0), PARTS[0].score
    score = on_interval(guided, plain, 0.1, 2.0)
    inside = ((sigma >= 0.1) & (sigma <= 2.0))[:, None]
    assert 0 < int(inside.sum()) < len(x)
    expected = torch.where(inside, guided(x, sigma), plain(x, sigma))
    assert torch.equal(score(x, sigma), expected)
    for n, level in enumerate(sigma.tolist()):
        torch.testing.assert_close(score(x[n], level), expected[n], rtol=1e-12, atol=1e-12)
    for end in (0.1, 2.0):  # both ends belong to it
        assert torch.equal(score(x, end), guided(x, end))
        per_point = sigma.new_full((len(x),), end)
        assert torch.equal(score(x, per_point), guided(x, per_point))
    assert torch.equal(on_interval(guided, plain, 0.0, math.inf)(x, sigma), guided(x, sigma))


def test_a_level_that_is_a_number_costs_the_one_score():
    calls = []

    def guided(x, sigma):
        calls.append(sigma)
        return -x

    score = on_interval(guided, PARTS[0].score, 0.1, 2.0)
    score(points(), 5.0), score(points(), 0.05)
    assert calls == []


RUNS = {
    "annealed_langevin": lambda s, x, g: samplers.annealed_langevin(
        s, x, schedules.geometric(5.0, 0.1, 4), step_size=0.01, n_steps=2, generator=g, progress=False
    ),
    "reverse_sde": lambda s, x, g: samplers.reverse_sde(VP(), s, x, TIMES, generator=g, progress=False),
    "reverse_sde_heun": lambda s, x, g: samplers.reverse_sde_heun(VP(), s, x, TIMES, generator=g, progress=False),
    "ancestral": lambda s, x, g: samplers.ancestral(VP(), s, x, TIMES, generator=g, progress=False),
    "predictor_corrector": lambda s, x, g: samplers.predictor_corrector(VE(), s, x, TIMES, generator=g, progress=False),
    "ddim": lambda s, x, g: samplers.ddim(VP(), s, x, TIMES, progress=False),
    "probability_flow": lambda s, x, g: samplers.probability_flow(VE(), s, x, TIMES, progress=False),
    "probability_flow_adaptive": lambda s, x, g: samplers.probability_flow_adaptive(
        VE(), s, x, 1.0, 0.1, progress=False
    ),
}
TIMES = schedules.uniform(1.0, 0.1, 6)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_every_sampler_takes_them(run):
    """With weight 1 each is the score of the class, of one class or of an interval that has all levels."""
    s_c, s_u = PARTS[0].score, P.score
    whole = on_interval(s_c, s_u, 0.0, math.inf)
    ends = [
        run(s, points(), torch.Generator().manual_seed(1)).samples
        for s in (s_c, classifier_free(s_c, s_u, 1.0), autoguidance(s_c, s_u, 1.0), whole)
    ]
    for end in ends[1:]:
        assert torch.equal(end, ends[0])
    by_classifier = run(classifier(s_u, class_log_probability(P, 0), 1.0), points(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(by_classifier.samples, ends[0], rtol=1e-6, atol=1e-6)


def test_the_networks_inside_are_seen():
    network = NoiseConditionalMLP(8, 1)
    network.to("meta")
    for score in (
        classifier_free(network, P.score, 2.0), classifier_free(P.score, network, 2.0),
        autoguidance(network, P.score, 2.0), classifier(network, class_log_probability(P, 0), 2.0),
        on_interval(P.score, network, 0.1, 1.0), on_interval(classifier_free(P.score, network, 2.0), P.score, 0.1, 1.0),
    ):  # fmt: skip
        assert devices.home(score) == torch.device("meta")
    assert devices.home(classifier_free(P.score, P.score, 2.0)) is None


@pytest.mark.parametrize("make", [classifier_free, autoguidance])
def test_bad_scores_and_weights_are_told(make):
    for weight in (math.nan, math.inf):
        with pytest.raises(ValueError, match="weight is (nan|inf): it must be a finite number"):
            make(P.score, P.score, weight)
    with pytest.raises(TypeError, match="weight is 'two': it must be a number"):
        make(P.score, P.score, "two")
    with pytest.raises(TypeError, match=r"is a ScoreMLP, which cannot be called as \w+\(x, sigma\): give a score of"):
        make(P.score, ScoreMLP(8, 1), 2.0)
    with pytest.raises(TypeError, match=r"is a ScoreMLP, which cannot be called as \w+\(x, sigma\)"):
        make(ScoreMLP(8, 1), P.score, 2.0)
    with pytest.raises(ValueError, match="one number per point, as a log-density gives"):
        make(P.log_prob, P.score, 2.0)(points(), 1.0)


def test_bad_classifiers_are_told():
    exact = class_log_probability(P, 0)
    with pytest.raises(ValueError, match="weight is nan"):
        classifier(P.score, exact, math.nan)
    with pytest.raises(TypeError, match=r"log_probability\(x, sigma\): give one of noisy points"):
        classifier(P.score, lambda x: -x.square().sum(-1), 2.0)
    with pytest.raises(ValueError, match="log_probability gives shape .* Is it the score"):
        classifier(P.score, P.score, 2.0)(points(), 1.0)
    underflown = classifier(P.score, lambda x, sigma: P.posterior(x, sigma)[..., 1].log(), 2.0)
    with pytest.raises(ValueError, match="log_probability is -inf at 3 of 3 points.*class_log_probability"):
        underflown(torch.tensor([[1e3, 0.0]] * 3), 0.1)
    assert underflown(torch.tensor([[math.inf, 0.0]]), 0.1).shape == (1, 2)  # a chain that has diverged
    with pytest.raises(ValueError, match="k is 2: the classes of .* are 0 to 1"):
        class_log_probability(P, 2)
    with pytest.raises(ValueError, match="k is -1"):
        class_log_probability(P, -1)
    for law in (PARTS[0].score, ScoreMLP(8, 1), Mixture):
        with pytest.raises(TypeError, match="has no log_posterior"):
            class_log_probability(law, 0)


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (-1.0, 1.0), (1.0, 1.0)])
def test_an_interval_the_wrong_way_round_is_told(low, high):
    with pytest.raises(ValueError, match=f"low is {low} and high is {high}"):
        on_interval(P.score, P.score, low, high)


def test_an_interval_without_ends_is_told():
    with pytest.raises(ValueError, match="low is nan"):
        on_interval(P.score, P.score, math.nan, 1.0)
    with pytest.raises(ValueError, match="high is nan"):
        on_interval(P.score, P.score, 0.1, math.nan)
