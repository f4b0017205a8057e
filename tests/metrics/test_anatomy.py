"""Curl and the Fokker-Planck residual: zero for scores, known for fields that are none."""

import math

import pytest
import torch

from toylab import museum
from toylab.densities import Banana, Circle, GaussianMixture, StudentTMixture
from toylab.metrics import curl, fokker_planck_residual
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.score import at

MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)


def points(n=50, seed=0):
    return 2 * torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


DENSITIES = {
    "mixture": MIXTURE,
    "circle": Circle(2.0),
    "banana": Banana(),
    "Student": StudentTMixture([0.4, 0.6], [[-1.0, 0.0], [2.0, 0.5]], [[0.3, 0.1], [0.1, 0.2]], [30.0, 60.0]),
}


@pytest.mark.parametrize("shape", [(2,), (5, 2), (3, 4, 2)])
def test_curl_of_a_field_known_by_hand(shape):
    """s = (x1 x2^2, sin x1 - x2): curl cos x1 - 2 x1 x2."""
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x1, x2 = x.unbind(-1)
    found = curl(lambda x: torch.stack([x[..., 0] * x[..., 1] ** 2, x[..., 0].sin() - x[..., 1]], -1), x)
    torch.testing.assert_close(found, x1.cos() - 2 * x1 * x2, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("p", DENSITIES.values(), ids=DENSITIES)
@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_an_exact_score_is_a_gradient_and_follows_the_heat_equation(p, sigma):
    """To 1e-8, even where a score is in the hundreds."""
    x = points(20)
    size = max(1.0, float(p.score(x, sigma).abs().max())) ** 2
    assert float(curl(at(p.score, sigma), x).abs().max()) < 1e-10 * size
    assert float(fokker_planck_residual(p.score, x, sigma).abs().max()) < 1e-8


def test_an_energy_has_no_curl_and_a_free_network_has():
    g, x = torch.Generator().manual_seed(3), points()
    energy, free = EnergyMLP(generator=g).double(), ScoreMLP(generator=g).double()
    assert float(curl(energy, x).abs().max()) < 1e-15
    assert float(curl(free, x).abs().max()) > 0.05
    assert not curl(free, x).requires_grad


def test_the_residual_of_fields_known_by_hand():
    """Of a s, s = -x / (1 + v) with v = sigma^2: a (1 - a) x / (1 + v)^2; of v x^3, entry by entry: see below."""
    x, sigma = points(), 0.7
    v = sigma**2
    for a in (1.0, 0.5, 2.0):
        found = fokker_planck_residual(lambda x, s, a=a: -a * x / (1 + torch.as_tensor(s)[..., None] ** 2), x, sigma)
        torch.testing.assert_close(found, a * (1 - a) * x / (1 + v) ** 2, rtol=1e-10, atol=1e-12)
    found = fokker_planck_residual(lambda x, s: torch.as_tensor(s)[..., None] ** 2 * x**3, x, sigma)
    by_hand = x**3 - v * 3 * x - 3 * v**2 * x**5  # d/dv of v x^3; 1/2 (3 v x^2); 1/2 v^2 x^6, and their slopes
    torch.testing.assert_close(found, by_hand, rtol=1e-10, atol=1e-10)


def test_one_level_per_point():
    x = points(8)
    levels = torch.linspace(0.2, 3.0, 8, dtype=torch.float64)

    def half(x, sigma):
        return 0.5 * MIXTURE.score(x, sigma)

    each = torch.cat([fokker_planck_residual(half, y[None], float(s)) for y, s in zip(x, levels, strict=True)])
    torch.testing.assert_close(fokker_planck_residual(half, x, levels), each, rtol=1e-10, atol=1e-12)


def test_what_the_residual_sees_and_what_not():
    """A random network fails, and a score off by a percent; the exact noised score of another law passes."""
    x = points()
    network = NoiseConditionalMLP(generator=torch.Generator().manual_seed(4)).double()
    assert float(fokker_planck_residual(network, x, 0.5).abs().max()) > 0.1
    assert float(fokker_planck_residual(lambda x, s: 1.01 * MIXTURE.score(x, s), x, 0.5).abs().max()) > 0.05
    replaced = museum.score_replacing_variances(MIXTURE)
    assert float((replaced(x, 0.5) - MIXTURE.score(x, 0.5)).abs().max()) > 1
    assert float(fokker_planck_residual(replaced, x, 0.5).abs().max()) < 1e-10


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"sigma": 0.0}, ValueError, "sigma is 0: the rate of change"),
        ({"sigma": -1.0}, ValueError, "sigma is -1"),
        ({"sigma": math.nan}, ValueError, "sigma is nan"),
        ({"x": torch.zeros(3)}, ValueError, "x has shape"),
        ({"score": MIXTURE}, TypeError, "score is a GaussianMixture: give a function, for example p.score"),
        (
            {"score": ScoreMLP(8, generator=torch.Generator()).double()},
            TypeError,
            r"which cannot be called as score\(x, sigma\)",
        ),
    ],
    ids=lambda value: "",
)
def test_bad_input_is_refused(bad, error, message):
    with pytest.raises(error, match=message):
        fokker_planck_residual(**{"score": MIXTURE.score, "x": points(), "sigma": 0.5, **bad})


def test_bad_input_to_curl_is_refused():
    with pytest.raises(TypeError, match="score is a float"):
        curl(1.0, points())
    with pytest.raises(ValueError, match="x has shape"):
        curl(MIXTURE.score, torch.zeros(3))
