"""MALA: detailed balance of its kernel point by point, and exactness on laws with more than one scale."""

import importlib
import math

import pytest
import scipy.stats
import torch

from toylab.densities import Banana, Circle, GaussianMixture, isotropic, ring
from toylab.samplers import accept_reject, mala, mala_init, mala_step
from toylab.samplers.accept_reject import value_and_score

MODULE = importlib.import_module("toylab.samplers.mala")  # the package's attribute of this name is the function
MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
).to(torch.float64)
NORMAL = GaussianMixture([1.0], [[1.0, -2.0]], [[1.0, 0.6], [0.6, 0.8]]).to(torch.float64)
BANANA = Banana(scale=1.0, width=0.5, bend=0.5).to(torch.float64)
DENSITIES = {"normal": NORMAL, "mixture": MIXTURE, "banana": BANANA}

every_density = pytest.mark.parametrize("name", DENSITIES)


def generator(seed):
    return torch.Generator().manual_seed(seed)


LEAST = -600.0  # log of the least uniform number tried: exp(-600) is still a normal float64


def log_acceptance(monkeypatch, log_prob, score, x, y, eps):
    """log of the largest u with which the kernel moves x to y, by bisection on the kernel itself.

    The normal numbers handed in are those that propose y; the uniform ones are swept.
    """
    z = (y - x - 0.5 * eps * score(x)) / eps**0.5
    u = torch.empty(len(x), dtype=x.dtype)
    monkeypatch.setattr(MODULE, "normal_like", lambda x, generator: z)
    monkeypatch.setattr(accept_reject, "uniform", lambda *args, **kwargs: u)
    start = mala_init(log_prob, score, x)

    def moves(log_u):
        u.copy_(log_u.exp())
        return mala_step(log_prob, score, start, eps)

    low, high = torch.full_like(u, LEAST), torch.full_like(u, -1e-15)  # the largest u below one
    there, sure = moves(high)
    for _ in range(70):
        middle = (low + high) / 2
        _, kept = moves(middle)
        low, high = torch.where(kept, middle, low), torch.where(kept, high, middle)
    # and a move is to y, a refusal stays at x, with the values that belong there
    torch.testing.assert_close(there.x, torch.where(sure[:, None], y, x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(there.log_prob, log_prob(there.x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(there.score, score(there.x), rtol=1e-12, atol=1e-12)
    return torch.where(sure, 0.0, low)


@every_density
@pytest.mark.parametrize("eps", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("field", ["score", "half the score", "no score"])
def test_detailed_balance_point_by_point(monkeypatch, name, eps, field):
    """p(x) q(y|x) a(x, y) = p(y) q(x|y) a(y, x), whatever field proposes; in logarithms, to 1e-12 of their terms."""
    p = DENSITIES[name]
    factor = {"score": 1.0, "half the score": 0.5, "no score": 0.0}[field]

    def score(x):
        return factor * p.score(x)

    x = p.sample((60,), generator=generator(1))
    y = x + 0.5 * eps * score(x) + eps**0.5 * torch.randn(x.shape, dtype=x.dtype, generator=generator(2))

    def terms(x, y):
        """log p(x), log q(y|x) and log a(x, y)."""
        q = torch.distributions.Normal(x + 0.5 * eps * score(x), eps**0.5)
        acceptance = log_acceptance(monkeypatch, p.log_prob, score, x, y, eps)
        return torch.stack([p.log_prob(x), q.log_prob(y).sum(-1), acceptance])

    there, back = terms(x, y), terms(y, x)
    a, a_back = there[2], back[2]
    found = torch.minimum(a, a_back) > LEAST + 1
    assert found.sum() > 30
    assert (torch.maximum(a, a_back) == 0).all()  # one of the two directions is never refused
    size = 1 + there.abs().sum(0) + back.abs().sum(0)
    assert ((there.sum(0) - back.sum(0)).abs() / size)[found].max() < 1e-12
    assert (a < -1e-3).any()
    assert (a_back < -1e-3).any()


@every_density
def test_exact_law_is_kept(name):
    """Kolmogorov-Smirnov of log p and of both coordinates against fresh exact draws, for a field other than the score.

    n = 40,000 on both sides sees a distance of .02 between distribution functions at p = 1e-7; without the
    acceptance step the p-value of log p is below 1e-50 at this step. With the score itself: the contract.
    """
    p, n = DENSITIES[name], 40_000
    start, fresh = (p.sample((n,), generator=generator(seed)) for seed in (3, 4))
    chains = mala(
        p.log_prob,
        lambda x: 0.3 * p.score(x),
        start,
        step_size=0.3,
        n_steps=12,
        generator=generator(5),
        progress=False,
    )
    assert 0.05 < float(chains.acceptance.mean()) < 1
    x = chains.samples
    for one, other in [(p.log_prob(x), p.log_prob(fresh)), (x[:, 0], fresh[:, 0]), (x[:, 1], fresh[:, 1])]:
        assert scipy.stats.ks_2samp(one.numpy(), other.numpy()).pvalue > 1e-6
    # second moments: the same comparison where a wrong scale shows most
    for f in (lambda x: x[:, 0] ** 2, lambda x: x[:, 1] ** 2, lambda x: x[:, 0] * x[:, 1]):
        a, b = f(x), f(fresh)
        assert abs(float(a.mean() - b.mean())) < 5 * math.sqrt(float(a.var() + b.var()) / n)


def test_converges_from_a_bad_start():
    """From one point to N(m, C): after 100 steps of .5 the start is forgotten. n = 10,000."""
    chains = mala(
        NORMAL.log_prob,
        NORMAL.score,
        torch.full((10_000, 2), 4.0, dtype=torch.float64),
        step_size=0.5,
        n_steps=100,
        generator=generator(6),
        progress=False,
    )
    for i, (mean, variance) in enumerate([(1.0, 1.0), (-2.0, 0.8)]):
        assert scipy.stats.kstest(chains.samples[:, i].numpy(), scipy.stats.norm(mean, variance**0.5).cdf).pvalue > 1e-6


def test_acceptance_counts_the_moves():
    x = MIXTURE.sample((200,), generator=generator(7))
    chains = mala(
        MIXTURE.log_prob,
        MIXTURE.score,
        x,
        step_size=1.0,
        n_steps=25,
        keep_every=1,
        generator=generator(8),
        progress=False,
    )
    moved = (chains.path[1:] != chains.path[:-1]).any(-1).double().mean(0)
    torch.testing.assert_close(chains.acceptance, moved)
    assert len(set(chains.acceptance.tolist())) > 3


def test_mean_acceptance_of_a_random_walk():
    """With no score, from N(0, I): E min(1, e^(-(|y|^2 - |x|^2)/2)) = 2 P(|y| < |x|), which is known.

    y = x + sqrt(eps) z: |y|^2 - |x|^2 = (y - x) . (y + x), with y - x and y + x normal of correlation
    rho = sqrt(eps / (4 + eps)) along each axis; in the plane the sign of their product is negative with probability
    1/2 - rho / 2, so that the acceptance is 1 - rho.
    """
    eps, n = 1.5, 100_000  # SE of a share .48 of n: below .0016
    p = isotropic([[0.0, 0.0]], 1.0).to(torch.float64)
    x = p.sample((n,), generator=generator(9))
    chains = mala(p.log_prob, torch.zeros_like, x, step_size=eps, n_steps=1, generator=generator(10), progress=False)
    right = 1 - math.sqrt(eps / (4 + eps))
    assert abs(float(chains.acceptance.mean()) - right) < 5 * math.sqrt(right * (1 - right) / n)


def test_the_constant_of_the_density_does_not_matter():
    x = MIXTURE.sample((200,), generator=generator(11))
    one, other = (
        mala(
            lambda x, c=c: MIXTURE.log_prob(x) + c,
            MIXTURE.score,
            x,
            step_size=0.7,
            n_steps=20,
            generator=generator(12),
            progress=False,
        ).samples
        for c in (0.0, 8.0)
    )
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("forbidden", [-math.inf, math.nan])
def test_never_enters_where_log_prob_is_not_finite(forbidden):
    """Half a normal law, x_1 > 0: chains stay there, and x_1 has the half-normal law."""

    def log_prob(x):
        return torch.where(x[:, 0] > 0, -0.5 * x.square().sum(-1), forbidden)

    start = torch.randn(20_000, 2, dtype=torch.float64, generator=generator(13))
    start[:, 0] = start[:, 0].abs()
    chains = mala(log_prob, torch.neg, start, step_size=0.5, n_steps=30, generator=generator(14), progress=False)
    assert not chains.diverged.any()
    assert (chains.samples[:, 0] > 0).all()
    assert scipy.stats.kstest(chains.samples[:, 0].numpy(), "halfnorm").pvalue > 1e-6


def in_steps(log_prob, score, here, step_size, z, u, factor):
    """One step of MALA from its definition, in the order of the textbook, on random numbers given."""
    eps = step_size[:, None] if isinstance(step_size, torch.Tensor) else step_size
    precision = torch.linalg.inv(factor @ factor.T)

    def mean(x):
        return x + 0.5 * eps * score(x) @ factor @ factor.T

    def log_q(to, x):
        gap = to - mean(x)
        return -((gap @ precision) * gap).sum(-1) / (2 * step_size)

    y = mean(here) + eps**0.5 * z @ factor.T
    kept = u.log() < log_prob(y) - log_prob(here) + log_q(here, y) - log_q(y, here)
    return torch.where(kept[:, None], y, here), kept


@pytest.mark.parametrize("factor", [None, torch.tensor([[1.2, 0.0], [0.4, 0.7]], dtype=torch.float64)])
@pytest.mark.parametrize("a_chain", [False, True])
def test_a_step_is_the_one_of_its_definition(factor, a_chain):
    p, g = ring(), torch.Generator().manual_seed(0)
    x = p.sample((500,), generator=g).double()
    step_size = 0.05 + 0.1 * torch.rand(500, dtype=torch.float64, generator=g) if a_chain else 0.1
    own, again = (torch.Generator().manual_seed(3) for _ in range(2))
    start = mala_init(p.log_prob, p.score, x)
    found, kept = mala_step(p.log_prob, p.score, start, step_size, factor=factor, generator=own)
    z = torch.randn(500, 2, dtype=torch.float64, generator=again)
    u = torch.rand(500, dtype=torch.float64, generator=again)
    square = torch.eye(2, dtype=torch.float64) if factor is None else factor
    expected, there = in_steps(p.log_prob, p.score, x, step_size, z, u, square)
    assert 0.3 < kept.double().mean() < 0.99
    assert torch.equal(kept, there)
    torch.testing.assert_close(found.x, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.log_prob, p.log_prob(expected), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.score, p.score(expected), rtol=1e-9, atol=1e-9)


def test_log_prob_and_score_of_one_density_are_asked_for_together():
    p, asked = ring(), []

    class Told(type(p)):
        def log_prob(self, x, sigma=0.0):
            asked.append("log_prob")
            return super().log_prob(x, sigma)

        def score(self, x, sigma=0.0):
            asked.append("score")
            return 2 * super().score(x, sigma)

    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    for density in (p, p.noised(0.3), Circle(2.0).noised(0.3)):
        together = value_and_score(density.log_prob, density.score)
        assert together == density.log_prob_and_score
        torch.testing.assert_close(together(x), (density.log_prob(x), density.score(x)))
    # what a subclass gives anew is what counts, and of two densities each has its own
    own = Told(p.weights, p.means, p.covariances)
    log_p, s = value_and_score(own.log_prob, own.score)(x)
    assert asked == ["log_prob", "score"]
    torch.testing.assert_close((log_p, s), (p.log_prob(x), 2 * p.score(x)))
    other = p.noised(0.3)
    torch.testing.assert_close(value_and_score(p.log_prob, other.score)(x), (p.log_prob(x), other.score(x)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chains_that_lie_apart_in_memory(dtype):
    x = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)).to(dtype).T
    g = torch.Generator().manual_seed(0)
    found = [
        mala(
            lambda y: -y.square().sum(-1) / 2, lambda y: -y, start, step_size=0.5, n_steps=3, generator=g.manual_seed(0)
        )
        for start in (x, x.contiguous())
    ]
    assert found[0].samples.dtype == dtype
    torch.testing.assert_close(found[0].samples, found[1].samples)


def test_what_is_asked_for_together_is_counted():
    p = ring()
    chains = mala(p.log_prob, p.score, p.means.float(), step_size=0.05, n_steps=7, progress=False)
    assert chains.n_evaluations == 8
