"""What every sampler must satisfy: started in the law it keeps, it stays there.

A sampler of your own gets these tests by one line in ``SAMPLERS``, at the end of the file.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from toylab.densities import Banana, Funnel, GaussianMixture
from toylab.paths import Linear, cosine
from toylab.samplers import (
    ancestral,
    annealed_langevin,
    ddim,
    flow,
    flow_adaptive,
    forward_sde,
    hmc,
    langevin,
    mala,
    metropolis,
    parallel_tempering,
    predictor_corrector,
    probability_flow,
    probability_flow_adaptive,
    reflected_langevin,
    reverse_sde,
    reverse_sde_heun,
    rk4_step,
)
from toylab.schedules import geometric, uniform
from toylab.sde import VE, VP, SubVP

# A second moment is known to .45 %, a fourth to 1 to 3 %: a step with twice the noise is at 100 standard errors, the
# bias of Langevin at eps = .5 (14 to 60 %) at more.
N = 100_000


@dataclass(frozen=True)
class Distribution:
    """A mixture of images of the standard normal law under polynomial maps: exact draws, and exact moments."""

    weights: Tensor
    maps: list

    def sample(self, n, generator):
        z = torch.randn(n, 2, dtype=torch.float64, generator=generator)
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        return torch.stack([f(z) for f in self.maps])[k, torch.arange(n)]

    def mean_of(self, f):
        """E f(X) for a polynomial f, by Gauss-Hermite quadrature of degree 31: exact."""
        t, w = np.polynomial.hermite_e.hermegauss(16)
        t, w = torch.as_tensor(t), torch.as_tensor(w / w.sum())
        z, p = torch.cartesian_prod(t, t), torch.cartesian_prod(w, w).prod(-1)
        return sum(
            float(weight) * float((p * f(g(z))).sum()) for weight, g in zip(self.weights, self.maps, strict=True)
        )


@dataclass(frozen=True)
class Box:
    """The uniform law on a rectangle."""

    low: Tensor
    high: Tensor

    def sample(self, n, generator):
        return self.low + (self.high - self.low) * torch.rand(n, 2, dtype=torch.float64, generator=generator)

    def mean_of(self, f):
        """E f(X) for a polynomial f, by Gauss-Legendre quadrature of degree 31: exact."""
        t, w = np.polynomial.legendre.leggauss(16)
        t, w = torch.as_tensor((t + 1) / 2), torch.as_tensor(w / w.sum())
        x = self.low + (self.high - self.low) * torch.cartesian_prod(t, t)
        return float((torch.cartesian_prod(w, w).prod(-1) * f(x)).sum())


def normal(mean, covariance):
    factor = torch.linalg.cholesky(covariance)
    return lambda z: mean + z @ factor.T


def mixture(p):
    return Distribution(p.weights, [normal(m, c) for m, c in zip(p.means, p.covariances, strict=True)])


def biased(p, eps, sigma=0.0):
    """The law of Langevin on N(m, C + sigma^2 I): covariance C (I - eps/4 C^-1)^-1 of the noised C."""
    one = torch.eye(2, dtype=torch.float64)
    c = p.covariances[0] + sigma**2 * one
    return Distribution(p.weights, [normal(p.means[0], c @ torch.linalg.inv(one - eps / 4 * torch.linalg.inv(c)))])


def parabola(p):
    def bent(z):
        x1 = p.scale * z[:, 0]
        return torch.stack([x1, p.bend * (x1**2 - p.scale**2) + p.width * z[:, 1]], -1)

    return Distribution(torch.ones(1, dtype=torch.float64), [bent])


def funnel(p):
    """X_1 = v ~ N(0, scale^2), X_2 = e^(v/2) z: no polynomial, but so smooth that the rule of degree 31 is exact."""

    def opened(z):
        v = p.scale * z[:, 0]
        return torch.stack([v, (v / 2).exp() * z[:, 1]], -1)

    return Distribution(torch.ones(1, dtype=torch.float64), [opened])


@dataclass(frozen=True)
class Case:
    """A sampler, the law that its chains start in, and the law that they must have at the end.

    Attributes:
        name: what the test is called.
        start: the law of the start x, such as ``mixture(p)`` for a Gaussian mixture p.
        run: a function of the start x [n, 2] and a generator that gives ``Chains``.
        end: the law at the end; None is that of the start, as for every sampler that keeps a law.
        n: chains.
    """

    name: str
    start: Distribution | Box
    run: Callable
    end: Distribution | Box | None = None
    n: int = N


NORMAL = GaussianMixture([1.0], [[1.0, -2.0]], [[1.0, 0.6], [0.6, 0.8]])
MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
BOX = Box(torch.tensor([-1.0, 0.5], dtype=torch.float64), torch.tensor([1.0, 4.5], dtype=torch.float64))
BANANA = Banana(scale=1.0, width=0.5, bend=0.5)
FUNNEL = Funnel(scale=0.5)  # weak enough that fourth moments are known from 1e5 draws
TEMPERATURES = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)


TARGETS = {
    "mixture": (MIXTURE, mixture(MIXTURE)),
    "banana": (BANANA, parabola(BANANA)),
    "funnel": (FUNNEL, funnel(FUNNEL)),
}
QUIET = {"progress": False}


def hot(p, n, temperature, g):
    """Exact draws from p^(1/T), normalised."""
    beta = 1 / temperature
    z = torch.randn(n, 2, dtype=torch.float64, generator=g)
    if isinstance(p, Banana):  # its map from the latent normal keeps areas, and the latent law is normal
        return parabola(p).maps[0](z * temperature**0.5)
    if isinstance(p, Funnel):  # integrated over y, v is normal with a shifted mean
        v = p.scale**2 * (1 - beta) / (2 * beta) + p.scale * temperature**0.5 * z[:, 0]
        return torch.stack([v, (v / 2).exp() * temperature**0.5 * z[:, 1]], -1)
    # a mixture: rejection from the sum of its components' own powers, which lies above the power of their sum
    det = torch.linalg.det(p.covariances)
    weights = p.weights**beta * det ** ((1 - beta) / 2)
    factors, kept, total = torch.linalg.cholesky(p.covariances * temperature), [], 0
    normals = [torch.distributions.MultivariateNormal(m, c) for m, c in zip(p.means, p.covariances, strict=True)]
    while total < n:
        z = torch.randn(2 * n, 2, dtype=torch.float64, generator=g)
        k = torch.multinomial(weights, 2 * n, replacement=True, generator=g)
        x = p.means[k] + (factors[k] @ z[..., None])[..., 0]
        parts = torch.stack([w.log() + component.log_prob(x) for w, component in zip(p.weights, normals, strict=True)])
        ratio = (beta * parts.logsumexp(0) - (beta * parts).logsumexp(0)).exp()
        kept.append(x[torch.rand(2 * n, dtype=torch.float64, generator=g) < ratio])
        total += len(kept[-1])
    return torch.cat(kept)[:n]


def tempered(p, x, g, **settings):
    """Tempering with all temperatures started in their own laws."""
    start = torch.stack([x, *(hot(p, len(x), float(t), g) for t in TEMPERATURES[1:])])
    return parallel_tempering(p.log_prob, p.score, start, TEMPERATURES, generator=g, **settings)


def exact(name, eps):
    """The samplers that keep p exactly, at a step of about 0.6 acceptance."""
    p, target = TARGETS[name]
    m = torch.tensor([[1.0, 0.4], [0.4, 0.7]])
    few = {"step_size": eps, **QUIET}
    return [
        Case(f"mala, preconditioned, {name}", target,
             lambda x, g: mala(p.log_prob, p.score, x, n_steps=6, preconditioner=m, generator=g, **few)),
        Case(f"metropolis, {name}", target, lambda x, g: metropolis(p.log_prob, x, n_steps=10, generator=g, **few)),
        Case(f"hmc, {name}", target,
             lambda x, g: hmc(p.log_prob, p.score, x, n_leapfrog=4, n_steps=4, generator=g, **few)),
        Case(f"tempering, {name}", target, lambda x, g: tempered(p, x, g, n_steps=6, **few)),
    ]  # fmt: skip


def density_at(p, sde, t):
    """The law of alpha X + sigma Z, as a mixture."""
    alpha, sigma = float(sde.alpha(t)), float(sde.sigma(t))
    noised = alpha**2 * p.covariances + sigma**2 * torch.eye(2, dtype=torch.float64)
    return mixture(GaussianMixture(p.weights, alpha * p.means, noised))


def diffusions(name, sde):
    """From draws of the law at t = 1, not of the prior, to the law at t_min; and from there forth to that at 1.

    2e4 chains know a second moment to 1 %, and take steps enough that their own error is well below. A missing half, or
    noise of a wrong scale, is off by tens of percent. Not from t = 1 but from 0.6 for VP, where some data are left.
    """
    late, score = 1.0 if name == "VE" else 0.6, MIXTURE.score
    noise, data = density_at(MIXTURE, sde, late), density_at(MIXTURE, sde, sde.t_min)

    def grid(n_steps):
        return uniform(late, sde.t_min, n_steps + 1).double()

    def levels(n_steps):
        """Times at which sigma / alpha is geometric, for the samplers that know these two alone."""
        ends = (float(sde.sigma(t) / sde.alpha(t)) for t in (late, sde.t_min))
        return sde.time_of(geometric(*ends, n_steps + 1).double())

    runs = {
        "reverse_sde": lambda x, g: reverse_sde(sde, score, x, grid(250), generator=g, **QUIET),
        "reverse_sde_heun": lambda x, g: reverse_sde_heun(sde, score, x, grid(60), generator=g, **QUIET),
        "predictor_corrector": lambda x, g: predictor_corrector(
            sde, score, x, grid(250), snr=0.03, generator=g, **QUIET
        ),
        "ancestral": lambda x, g: ancestral(sde, score, x, levels(400), generator=g, **QUIET),
        "ddim": lambda x, g: ddim(sde, score, x, levels(200), **QUIET),
        "probability_flow": lambda x, g: probability_flow(sde, score, x, grid(60), **QUIET),
        "probability_flow_adaptive": lambda x, g: probability_flow_adaptive(sde, score, x, late, sde.t_min, **QUIET),
    }
    forth = Case(
        f"forward_sde, {name}", data, lambda x, g: forward_sde(sde, x, grid(250).flip(0), generator=g, **QUIET), noise,
        n=20_000,
    )  # fmt: skip
    return [*(Case(f"{each}, {name}", noise, run, data, n=20_000) for each, run in runs.items()), forth]


SOURCE = GaussianMixture([0.4, 0.6], [[0.0, -2.0], [1.0, 1.0]], [[[0.6, 0.1], [0.1, 0.3]], [[0.5, 0.0], [0.0, 0.4]]])


def flows():
    """From the source of a path to the data, and back, by the exact velocity."""
    there, normal = torch.linspace(0, 1, 17), GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]])

    def case(name, path, source, times):
        def run(x, g):
            return flow(lambda x, t: path.velocity(MIXTURE, x, t), x, times, step=rk4_step, **QUIET)

        ends = (mixture(source), mixture(MIXTURE))
        start, end = ends if times is there else ends[::-1]
        return Case(name, start, run, end, n=20_000)

    return [
        case("flow, linear, back", Linear(), normal, there.flip(0)),
        case("flow, cosine", cosine(), normal, there),
        case("flow, between mixtures", Linear(SOURCE), SOURCE, there),
        Case(
            "flow_adaptive", mixture(normal),
            lambda x, g: flow_adaptive(lambda x, t: Linear().velocity(MIXTURE, x, t), x, rtol=1e-4, **QUIET),
            mixture(MIXTURE), n=20_000,
        ),
    ]  # fmt: skip


def langevin_at(eps):
    return lambda x, g: langevin(NORMAL.score, x, step_size=eps, n_steps=20, generator=g, **QUIET)


def reflected_at(eps):
    corners = {"low": BOX.low, "high": BOX.high}
    return lambda x, g: reflected_langevin(
        torch.zeros_like, x, **corners, step_size=eps, n_steps=10, generator=g, **QUIET
    )


def annealed_at(sigma, eps):
    levels = torch.tensor([sigma], dtype=torch.float64)
    return lambda x, g: annealed_langevin(NORMAL.score, x, levels, step_size=eps, n_steps=20, generator=g, **QUIET)


def mala_on(p, eps):
    return lambda x, g: mala(p.log_prob, p.score, x, step_size=eps, n_steps=6, generator=g, **QUIET)


def falling(eps):
    """A schedule of steps eps, eps/2, eps/3, ..."""
    return lambda k: eps / (k + 1)


# One line per sampler: its name, the law it starts in, how it runs, and the law it must end in if that is another.
# Exact laws of which a moment is known: mixture(p) of any Gaussian mixture p, biased(NORMAL, eps) that Langevin keeps.
SAMPLERS = [
    Case("langevin, step 0.1", biased(NORMAL, 0.1), langevin_at(0.1)),
    Case("langevin, step 0.5", biased(NORMAL, 0.5), langevin_at(0.5)),
    Case("reflected, step 0.5", BOX, reflected_at(0.5)),
    Case("reflected, step 20", BOX, reflected_at(20.0)),
    Case("annealed, one level 0.5", biased(NORMAL, 0.3, sigma=0.5), annealed_at(0.5, 0.3)),
    Case("annealed, one level 3.0", biased(NORMAL, 8.0, sigma=3.0), annealed_at(3.0, 8.0)),
    Case("mala, normal", mixture(NORMAL), mala_on(NORMAL, 0.5)),
    Case("mala, mixture", mixture(MIXTURE), mala_on(MIXTURE, 0.5)),
    Case("mala, banana", parabola(BANANA), mala_on(BANANA, 0.2)),
    Case("mala, funnel", funnel(FUNNEL), mala_on(FUNNEL, 0.5)),
    Case("mala, a schedule", mixture(MIXTURE), mala_on(MIXTURE, falling(1.0))),
    *exact("mixture", 0.3),
    *exact("banana", 0.2),
    *exact("funnel", 0.5),
    *diffusions("VE", VE(0.1, 5.0)),
    *diffusions("VP", VP()),
    *diffusions("sub-VP", SubVP()),
    *flows(),
]


def worst_moment(x, target):
    """The largest |z| of moments 1 to 4 of both coordinates, and mixed ones of degree 2 to 4, about a fixed centre."""
    centre = torch.tensor([target.mean_of(lambda x, i=i: x[:, i]) for i in range(2)], dtype=torch.float64)
    worst = 0.0
    for a, b in [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3), (4, 0), (2, 2), (0, 4)]:

        def moment(x, a=a, b=b):
            return (x[:, 0] - centre[0]) ** a * (x[:, 1] - centre[1]) ** b

        values = moment(x)
        z = (float(values.mean()) - target.mean_of(moment)) / (float(values.std()) / math.sqrt(len(x)))
        worst = max(worst, abs(z)) if math.isfinite(z) else math.inf
    return worst


@pytest.mark.parametrize("case", SAMPLERS, ids=lambda case: case.name)
def test_it_stays_where_it_belongs(case):
    g = torch.Generator().manual_seed(1)
    start = case.start.sample(case.n, g)
    chains = case.run(start, g)
    assert not torch.isclose(chains.samples, start).all(-1).double().mean() > 0.5  # they did move
    assert worst_moment(chains.samples, case.end or case.start) < 5
