"""The parts of an error on a Gaussian, where every part has a closed form."""

import pytest
import torch

from toylab.densities import isotropic
from toylab.metrics import explain
from toylab.samplers import langevin
from toylab.score import at

NORMAL = isotropic([[0.0, 0.0]], 1.0)
EPS, SIGMA, A, N = 0.6, 0.5, 0.7, 40_000


def sampler(score, x, generator):
    return langevin(score, x, step_size=EPS, n_steps=60, generator=generator, progress=False)


def square(x):
    return x.square().sum(-1)


def test_every_part_has_its_closed_form():
    """f = |x|^2, d = 2: 2 sigma^2; 2 v / (1 - eps / (4 v)) - 2 v, v = 1 + sigma^2; and with s = -a x, v = 1 / a."""
    start = torch.randn(N, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = explain(
        NORMAL,
        {"shrunk": lambda x: -A * x},
        sampler,
        start,
        exact=at(NORMAL.score, SIGMA),
        quantity=square,
        sigma=SIGMA,
        clean=NORMAL.score,
    )
    assert list(found.terms) == ["clean", "exact", "shrunk"]
    clean = found.terms["clean"]
    assert clean.noising == 0
    assert clean.estimation.value == 0
    assert clean.total == clean.discretisation
    assert abs(clean.total.value - (2 / (1 - EPS / 4) - 2)) < 5 * clean.total.standard_error
    v = 1 + SIGMA**2
    assert found.truth == pytest.approx(2.0, rel=1e-9)
    exact, shrunk = found.terms["exact"], found.terms["shrunk"]
    for terms in (exact, shrunk):
        assert terms.noising == pytest.approx(2 * SIGMA**2, rel=1e-9)
        bias = 2 * v / (1 - EPS / (4 * v)) - 2 * v
        assert abs(terms.discretisation.value - bias) < 5 * terms.discretisation.standard_error
        assert bias > 20 * terms.discretisation.standard_error
        parts = terms.noising + terms.discretisation.value + terms.estimation.value
        assert terms.total.value == pytest.approx(parts, rel=1e-9)
    assert exact.estimation.value == exact.estimation.standard_error == 0
    difference = 2 / A / (1 - EPS * A / 4) - 2 * v / (1 - EPS / (4 * v))
    assert abs(shrunk.estimation.value - difference) < 5 * shrunk.estimation.standard_error
    # the same random numbers: the difference is known better than either mean
    assert shrunk.estimation.standard_error < 0.5 * shrunk.total.standard_error
    assert "shrunk" in str(found)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sigma": -1.0}, "sigma is -1.0"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"scores": [NORMAL.score]}, "give a dictionary of scores"),
        ({"scores": {"exact": NORMAL.score}}, "the names 'clean' and 'exact' are"),
    ],
    ids=["negative", "nan", "list", "taken"],
)
def test_bad_input_is_refused_before_any_run(changed, message):
    def never(*_):
        raise AssertionError("it ran")

    arguments = {"scores": {}, **changed}
    scores = arguments.pop("scores")
    with pytest.raises(ValueError, match=message):
        explain(NORMAL, scores, never, torch.zeros(5, 2), exact=NORMAL.score, quantity=square, **arguments)


def test_diverged_chains_are_refused_with_the_name_of_their_score():
    start = torch.ones(5, 2, dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="diverged"), pytest.raises(ValueError, match="with the wild score"):
        explain(NORMAL, {"wild": lambda x: 1e30 * x**3}, sampler, start, exact=NORMAL.score, quantity=square)
