"""Concrete scores on a grid against loops over the cells; their loss, its offset and its minimiser."""

import numpy as np
import pytest
import scipy.stats
import torch

from toylab.discrete import GridLaw, GridScoreMatching

STEPS = [(-1, 0), (1, 0), (0, -1), (0, 1)]


def random_law(rows, columns, seed):
    p = np.random.default_rng(seed).dirichlet(np.full(rows * columns, 2.0)).reshape(rows, columns)
    return GridLaw(torch.from_numpy(p))


LAWS = [random_law(3, 4, 0), random_law(5, 5, 1), random_law(1, 3, 2), random_law(1, 1, 3)]
every_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{tuple(law.probabilities.shape)}")


def concrete_score(p, r, c):
    """[P(neighbour) / P(x) - 1], 0 where there is no neighbour, and which there are."""
    rows, columns = p.shape
    near = [(r + i, c + j) for i, j in STEPS]
    there = [0 <= i < rows and 0 <= j < columns for i, j in near]
    return [p[at] / p[r, c] - 1 if ok else 0.0 for at, ok in zip(near, there, strict=True)], there


@every_law
def test_the_concrete_score_is_that_of_the_loop(law):
    p = law.probabilities.numpy()
    expected = [concrete_score(p, r, c)[0] for r, c in np.ndindex(*p.shape)]
    np.testing.assert_allclose(law.concrete_score(law.cells), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(law.log_prob(law.cells), np.log(p.flatten()), rtol=1e-12)


@every_law
def test_mean_loss_and_offset_are_the_divergence(law):
    """Of any table of numbers, also where it has entries for neighbours that are not there."""
    p = law.probabilities.numpy()
    rows, columns = p.shape
    table = torch.from_numpy(np.random.default_rng(5).normal(size=(rows, columns, 4)))
    loss = GridScoreMatching(rows, columns)
    mean = law.probabilities.flatten() @ loss(lambda x: table[x[..., 0], x[..., 1]], law.cells)
    divergence = 0.0
    for r, c in np.ndindex(rows, columns):
        exact, there = concrete_score(p, r, c)
        divergence += p[r, c] * sum((table[r, c].numpy() - exact)[k] ** 2 for k in range(4) if there[k])
    assert float(mean) + loss.offset(law) == pytest.approx(divergence, rel=1e-10, abs=1e-12)


@every_law
def test_at_the_truth_the_divergence_is_zero(law):
    loss = GridScoreMatching(*law.probabilities.shape)
    mean = law.probabilities.flatten() @ loss(law.concrete_score, law.cells)
    assert float(mean) + loss.offset(law) == pytest.approx(0, abs=1e-11)


def minimised(value, start):
    theta = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [theta], max_iter=1000, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = value(theta)
        loss.backward()
        return loss

    optimizer.step(closure)
    return theta.detach()


def test_the_minimiser_over_laws_is_the_truth():
    law, loss = LAWS[0], GridScoreMatching(3, 4)

    def value(logits):
        return law.probabilities.flatten() @ loss(GridLaw.from_logits(logits).concrete_score, law.cells)

    found = GridLaw.from_logits(minimised(value, torch.zeros(3, 4, dtype=torch.float64)))
    torch.testing.assert_close(found.probabilities, law.probabilities, rtol=0, atol=1e-6)


def test_the_minimiser_over_all_functions_on_data_is_the_concrete_score_of_the_data():
    x = LAWS[0].sample((500,), generator=torch.Generator().manual_seed(0))
    counts = torch.zeros(3, 4, dtype=torch.float64).index_put((x[:, 0], x[:, 1]), torch.ones(500).double(), True)
    data, loss = GridLaw(counts / 500), GridScoreMatching(3, 4)
    there = data.concrete_score(data.cells).view(3, 4, 4) != 0
    found = minimised(lambda c: loss(lambda x: c[x[..., 0], x[..., 1]], x).mean(), torch.zeros(3, 4, 4).double())
    exact = data.concrete_score(data.cells).view(3, 4, 4)
    torch.testing.assert_close(found[there], exact[there], rtol=0, atol=1e-6)


def test_draws_have_the_law():
    """Chi-squared on 12 cells, 50,000 draws, one seed: a right sampler fails with probability 1e-7."""
    law = LAWS[0]
    x = law.sample((50_000,), generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(4 * x[:, 0] + x[:, 1], minlength=12)
    assert scipy.stats.chisquare(counts, 50_000 * law.probabilities.numpy().flatten()).pvalue > 1e-7
    before = torch.get_rng_state()
    same = law.sample((50_000,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(x, same) and torch.equal(torch.get_rng_state(), before)


def test_values_come_in_the_dtype_of_the_law():
    law = GridLaw(LAWS[0].probabilities.float())
    assert law.concrete_score(law.cells).dtype == law.log_prob(law.cells).dtype == torch.float32
    assert law.sample((3, 2)).shape == (3, 2, 2) and law.sample().dtype == torch.int64
