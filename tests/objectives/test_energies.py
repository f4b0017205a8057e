"""Objectives of an energy against the exact gradient of the log-likelihood: formula, minimiser, and bias as a number.

The model is mostly E(x) = a |x|^2 / 2 + c, whose law N(0, I/a), and whose every expectation, is known.
"""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

from toylab.densities import Circle, GaussianMixture, Mixture, Points, Square, isotropic, two_modes
from toylab.densities.quadrature import expectation
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, ScoreMLP
from toylab.objectives import (
    ContrastiveDivergence,
    Denoising,
    LogUniform,
    MaximumLikelihood,
    MultiscaleDenoising,
    NoiseConditional,
    NoiseContrastive,
    PersistentContrastiveDivergence,
)
from toylab.samplers import langevin_step, mala_init, mala_step
from toylab.score import at, divergence
from toylab.training import fit
from toylab.training.ensemble import Ensemble
from toylab.training.trial import try_once

N = 100_000
V, A, EPS = 2.0, 0.8, 0.5  # variance of the data, precision of the model, step
BOX = (-12.0, 12.0, -12.0, 12.0)
DATA = isotropic([[0.0, 0.0]], std=V**0.5)
MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
ULA = functools.partial(langevin_step, step_size=EPS)


class Gaussian(nn.Module):
    """E(x) = a |x|^2 / 2 + c."""

    def __init__(self, a, c=0.0, chains=None):
        super().__init__()
        self.a, self.c = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (a, c))
        if chains is not None:
            self.register_buffer("chains", chains)

    def energy(self, x):
        return 0.5 * self.a * x.square().sum(-1) + self.c

    def forward(self, x):
        return -self.a * x

    def redrawn(self, generator=None):
        return Gaussian(1.0, 1.0, chains=self.chains.clone() if hasattr(self, "chains") else None)


class Truth:
    """The energy -log p of a density."""

    def __init__(self, density):
        self.density = density

    def energy(self, x):
        return -self.density.log_prob(x)

    def __call__(self, x):
        return self.density.score(x)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def mala(score, x, *, generator):
    """One step of MALA, as a step of contrastive divergence."""
    log_prob = lambda y: -score.energy(y)  # noqa: E731
    return mala_step(log_prob, score, mala_init(log_prob, score, x), EPS, generator=generator)[0].x


def sample(density, n=N, seed=1):
    return density.to(torch.float64).sample((n,), generator=generator(seed))


def z_test(values, mean):
    """Is the mean of independent values the given one? |z| < 5: wrong once in two million."""
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - mean) < 5 * error, (float(values.mean()), mean, error)


def slopes(objective, model, x, name="a", seed=2):
    """The derivative of the loss of each point by a parameter [n], by differentiating the gradient by the weights."""
    losses = objective(model, x, generator=generator(seed))
    weights = torch.ones_like(losses, requires_grad=True)
    (total,) = torch.autograd.grad(losses, getattr(model, name), weights, create_graph=True)
    return torch.autograd.grad(total, weights)[0]


# ------------------------------------------------------------------------------------------------ maximum likelihood


def test_the_loss_is_minus_the_log_density_of_the_model():
    network = EnergyMLP(16, generator=generator()).double()
    x = torch.tensor([[0.0, 0.0], [1.5, -2.0], [2.0, 1.0], [2.001, 0.0], [0.0, -3.1]], dtype=torch.float64)
    box = (-2.0, 2.0, -3.0, 1.0)
    found = MaximumLikelihood(box, n_cells=8)(network, x).detach()
    torch.testing.assert_close(found, -network.density(box, n_cells=8).log_prob(x), rtol=1e-12, atol=1e-12)
    assert found[3:].isinf().all()


def test_likelihood_of_a_gaussian_and_its_gradient():
    """-log N(x; 0, I/a) = a |x|^2/2 - log(a / 2 pi), whose derivative by a is |x|^2/2 - 1/a, and by c nothing."""
    model, x = Gaussian(A, c=1.7), sample(DATA, 200)
    objective = MaximumLikelihood(BOX)
    right = 0.5 * A * x.square().sum(-1) - math.log(A / (2 * math.pi))
    torch.testing.assert_close(objective(model, x).detach(), right, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(slopes(objective, model, x), 0.5 * x.square().sum(-1) - 1 / A, rtol=1e-9, atol=1e-9)
    assert float(slopes(objective, model, x, "c").abs().max()) < 1e-12


def test_mean_likelihood_plus_offset_is_the_divergence_from_the_data_to_the_model():
    """KL(N(0, v I) | N(0, I/a)) = a v - 1 - log(a v), by quadrature."""
    objective = MaximumLikelihood((-20.0, 20.0, -20.0, 20.0), n_cells=48)
    mean = expectation(lambda x: objective(Gaussian(A), x).detach(), isotropic([[0.0, 0.0]], std=1.2))
    found = mean + objective.offset(isotropic([[0.0, 0.0]], std=1.2))
    assert found == pytest.approx(A * 1.44 - 1 - math.log(A * 1.44), abs=1e-9)


def test_the_quadrature_is_as_exact_as_is_said():
    """A mode of a standard deviation of one cell, anywhere between the sides of cells."""
    for shift in np.linspace(0, 0.5, 6):
        model = Truth(isotropic([[float(shift), 0.3]], std=1.0).to(torch.float64))
        x = torch.zeros(1, 2, dtype=torch.float64)
        excess = MaximumLikelihood((-12.0, 12.0, -12.0, 12.0), n_cells=24)(model, x) - model.energy(x)
        assert abs(float(excess)) < 1e-6


# --------------------------------------------------------------------------------------------- contrastive divergence


def test_nodes_too_far_to_count_have_no_slope_and_leave_the_likelihood_as_it_is():
    """Slopes that are denormal numbers made a training three times slower."""
    slopes = []

    class Narrow(Gaussian):
        def energy(self, x):
            values = super().energy(x)
            values.register_hook(slopes.append)
            return values

    model, x = Narrow(1.5).float(), DATA.sample((100,), generator=generator()).float()
    losses = MaximumLikelihood(BOX)(model, x)
    losses.mean().backward()
    slope = max(slopes, key=len).abs()  # of the nodes
    assert ((slope == 0) | (slope >= torch.finfo(torch.float32).tiny)).all()
    assert 0 < int((slope == 0).sum()) < len(slope)
    expected = model.energy(x) + math.log(2 * math.pi / 1.5)
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-6)


def test_a_node_without_an_energy_is_not_taken_for_one_too_far():
    model = Truth(DATA)
    model.energy = lambda x: torch.where(x[..., 0] > 11.9, math.nan, -DATA.log_prob(x))
    x = torch.zeros(3, 2, dtype=torch.float64)
    assert MaximumLikelihood(BOX)(model, x).isnan().all()


def cd_slope(a, v, eps, k):
    """The mean of dE/da at the data less that after k Langevin steps, by the law of the chains, both axes."""
    after = v
    for _ in range(k):
        after = (1 - eps * a / 2) ** 2 * after + eps
    return v - after


@pytest.mark.parametrize(("k", "a"), [(1, A), (3, A), (1, 0.2), (1, 2.0)])
def test_the_gradient_of_contrastive_divergence_has_its_sign_and_size(k, a):
    """Against the law of the chains, and the closed form of the docstring; the exact gradient is v - 1/a."""
    expected, rho = cd_slope(a, V, EPS, k), 1 - EPS * a / 2
    stationary = 1 / (a * (1 - EPS * a / 4))
    assert expected == pytest.approx((1 - rho ** (2 * k)) * (V - stationary), rel=1e-12)
    z_test(slopes(ContrastiveDivergence(ULA, k), Gaussian(a), sample(DATA)), expected)
    exact = V - 1 / a
    assert expected * exact > 0 and abs(expected) < abs(exact)


def test_contrastive_divergence_vanishes_where_its_step_keeps_the_data():
    """For Langevin steps at the precision whose biased law is the data, for MALA at the truth; not the other way."""
    x, truth = sample(DATA), 1 / V
    of_the_step = (1 - math.sqrt(1 - EPS / V)) * 2 / EPS  # a (1 - eps a / 4) = 1 / v
    assert cd_slope(of_the_step, V, EPS, 1) == pytest.approx(0, abs=1e-12)
    z_test(slopes(ContrastiveDivergence(ULA), Gaussian(of_the_step), x), 0.0)
    z_test(slopes(ContrastiveDivergence(mala, 2), Gaussian(truth), x), 0.0)
    biased = cd_slope(truth, V, EPS, 1)
    assert biased == pytest.approx((1 - (1 - EPS / 4) ** 2) * V - EPS)
    z_test(slopes(ContrastiveDivergence(ULA), Gaussian(truth), x), biased)


def test_nothing_is_differentiated_along_the_chain():
    """The gradient is that of E at two sets of points: with a step that knows where to go, both are known."""
    x, y = sample(DATA, 50), sample(DATA, 50, seed=7)
    found = slopes(ContrastiveDivergence(lambda score, x, *, generator: y + 0 * score(x)), Gaussian(A), x)
    torch.testing.assert_close(found, 0.5 * (x.square().sum(-1) - y.square().sum(-1)))


# -------------------------------------------------------------------------------------------------- persistent chains


def test_persistent_chains_give_the_gradient_of_maximum_likelihood():
    """Chains in the model, moved by MALA, which keeps it: the exact v - 1/a, and they stay. Error bars of both means.

    By Langevin steps from far away they come to v - v_eps: a known bias, and no other.
    """
    x = sample(DATA)
    model = Gaussian(A, chains=sample(isotropic([[0.0, 0.0]], std=A**-0.5), seed=5))
    objective = PersistentContrastiveDivergence(mala, 3)
    before = model.chains.clone()
    found = slopes(objective, model, x).mean()
    error = math.sqrt(float(x.square().sum(-1).var() / 4 + model.chains.square().sum(-1).var() / 4) / N)
    assert abs(float(found) - (V - 1 / A)) < 5 * error
    assert not torch.equal(model.chains, before)

    model = Gaussian(A, chains=torch.full((N, 2), 3.0, dtype=torch.float64))
    for seed in range(3):  # rho = .8: after 60 steps 9 rho^120 = 2e-11 is left of the start
        found = slopes(PersistentContrastiveDivergence(ULA, 20), model, x, seed=seed).mean()
    assert abs(float(found) - (V - 1 / (A * (1 - EPS * A / 4)))) < 5 * error


def test_chains_go_on_from_where_they_were_and_as_many_as_there_are():
    model, x = Gaussian(A, chains=torch.ones(7, 2, dtype=torch.float64)), sample(DATA, 3)
    seen = []

    def step(score, x, *, generator):
        seen.append(x.clone())
        return x + 1

    objective = PersistentContrastiveDivergence(step, 2)
    losses = [objective(model, x).detach() for _ in range(2)]
    assert [float(start[0, 0]) for start in seen] == [1.0, 2.0, 3.0, 4.0]
    assert torch.equal(model.chains, torch.full((7, 2), 5.0, dtype=torch.float64))
    torch.testing.assert_close(losses[1], 0.5 * A * (x.square().sum(-1) - 50))

    start = torch.zeros(4, 2, dtype=torch.float64)  # of one's own, which stay where they are
    network = EnergyMLP(4, generator=generator()).double().with_chains(start)
    objective(network, x)
    assert float(network.chains.max()) == 2.0 and float(start.abs().max()) == 0.0


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_a_training_with_chains_is_repeatable_and_leaves_the_network_given(n_seeds):
    start = sample(two_modes(), 20).float()
    network = EnergyMLP(8, generator=generator()).with_chains(start)
    trained = [
        fit(network, PersistentContrastiveDivergence(ULA), two_modes(), n_steps=5, batch_size=8, n_seeds=n_seeds,
            generator=generator(3), progress=False)
        for _ in range(2)
    ]  # fmt: skip
    assert torch.equal(network.chains, start)
    for a, b in zip(*(fitted.networks for fitted in trained), strict=True):
        assert torch.equal(a.chains, b.chains) and a.chains.shape == (20, 2)
        assert not torch.equal(a.chains, start)
        assert all(torch.equal(v, w) for v, w in zip(a.parameters(), b.parameters(), strict=True))
    if n_seeds == 2:
        assert not torch.equal(trained[0].networks[0].chains, trained[0].networks[1].chains)


# -------------------------------------------------------------------------------------------------- noise-contrastive

NOISE = isotropic([[0.5, 0.0]], std=2.0)


@pytest.mark.parametrize("ratio", [1, 3])
def test_noise_contrastive_formula(ratio):
    """Against the two densities themselves, with the draws made again."""
    x, network = sample(MIXTURE, 50), EnergyMLP(8, generator=generator()).double()
    found = NoiseContrastive(NOISE, ratio)(network, x, generator=generator(4)).detach()
    y = NOISE.to(torch.float64).sample((ratio, 50), generator=generator(4))

    def h(x):
        p, q = (-network.energy(x)).exp().detach(), NOISE.log_prob(x).exp()
        return (p / (p + ratio * q)).numpy()

    right = -np.log(h(x)) - np.log(1 - h(y)).sum(0)
    np.testing.assert_allclose(found.numpy(), right, rtol=1e-9)


def box_sum(f, half=14.0, n=400):
    """int f over a square, by the trapezoid rule: exact to rounding for what has vanished at its sides."""
    t = torch.linspace(-half, half, n, dtype=torch.float64)
    x = torch.cartesian_prod(t, t)
    return float(f(x).sum()) * float(t[1] - t[0]) ** 2


@pytest.mark.parametrize("ratio", [1, 3])
def test_the_gradient_of_noise_contrastive_estimation(ratio):
    """At the truth it vanishes, for the constant too; elsewhere it is int (exp(-E) - p) w grad(-E), by quadrature."""
    x, normaliser = sample(DATA), math.log(2 * math.pi * V)
    objective = NoiseContrastive(NOISE, ratio)
    for name in ("a", "c"):
        z_test(slopes(objective, Gaussian(1 / V, normaliser), x, name), 0.0)
        model = Gaussian(A, 1.0)

        def integrand(x, model=model, name=name):
            e, p, q = (-model.energy(x)).exp().detach(), DATA.log_prob(x).exp(), ratio * NOISE.log_prob(x).exp()
            inner = -0.5 * x.square().sum(-1) if name == "a" else -1.0
            return (e - p) * q / (e + q) * inner

        z_test(slopes(objective, model, x, name), box_sum(integrand))


def test_the_offset_of_noise_contrastive_estimation():
    """Mean loss + offset is 0 at the truth; elsewhere (1 + r) times the divergence of the answers, by quadrature."""
    objective, p, q = NoiseContrastive(NOISE, 2), MIXTURE, NOISE
    offset, x = objective.offset(p), sample(p)
    z_test(objective(Truth(p), x, generator=generator(3)) + offset, 0.0)
    other = MIXTURE.shifted((0.5, 0.0))

    def divergence_of_answers(x):
        a, b, n = p.log_prob(x).exp(), other.log_prob(x).exp(), 2 * q.log_prob(x).exp()
        h, g = a / (a + n), b / (b + n)
        return (a + n) * (torch.special.xlogy(h, h / g) + torch.special.xlogy(1 - h, (1 - h) / (1 - g)))

    expected = box_sum(divergence_of_answers)
    assert expected > 0.05
    z_test(objective(Truth(other), x, generator=generator(3)) + offset, expected)


# ----------------------------------------------------------------------------------------------- multiscale denoising

LEVELS = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)


def field(x):
    return torch.stack([torch.sin(x[..., 1]) - x[..., 0], x[..., 0] * 0.5 - 1.0], -1)


def test_multiscale_denoising_formula():
    x, seen = sample(MIXTURE, 500), []

    def score(y):
        seen.append(y)
        return field(y)

    found = MultiscaleDenoising(LEVELS, 0.4)(score, x, generator=generator(3))
    g = generator(3)
    sigma = LEVELS[torch.randint(3, (500,), generator=g)][:, None]
    z = torch.randn(x.shape, dtype=x.dtype, generator=g)
    torch.testing.assert_close(seen[0], x + sigma * z)
    # the paper's: l(sigma) |x - y + sigma_0^2 grad E|^2 with l = 1 / sigma^2, over 2 sigma_0^4
    papers = (x - seen[0] - 0.4**2 * field(seen[0])).square().sum(-1) / sigma[:, 0] ** 2
    torch.testing.assert_close(found, papers / (2 * 0.4**4))


@pytest.mark.parametrize(
    ("levels", "density"), [(LEVELS, MIXTURE), (LogUniform(0.3, 1.0), DATA)], ids=["ladder", "log-uniform"]
)
def test_the_minimiser_of_multiscale_denoising(levels, density):
    """The loss above that of the minimiser is the mean of |s - s*|^2 / (2 sigma^2), and below it nothing goes."""
    objective, x = MultiscaleDenoising(levels, 0.4), sample(density)
    best = objective.minimiser(density)
    least = objective(best, x, generator=generator(3))
    z_test(least + objective.offset(density), 0.0)
    found = objective(lambda y: best(y) + 0.1 * field(y), x, generator=generator(3)) - least
    sigmas, shares = (levels, torch.full((3,), 1 / 3)) if isinstance(levels, torch.Tensor) else levels.nodes()
    expected = sum(
        float(share) * expectation(lambda y: (0.1 * field(y)).square().sum(-1), density, float(s)) / (2 * float(s) ** 2)
        for s, share in zip(sigmas, shares, strict=True)
    )
    z_test(found, expected)


def test_what_multiscale_denoising_learns_is_no_score_but_at_one_level():
    """For N(0, v I): -x sum pi_i p_i / (v + s_i^2) / (s_0^2 sum pi_i p_i / s_i^2); on a mixture it has curl."""
    one = MultiscaleDenoising(LEVELS[1:2], 0.5)
    x = sample(MIXTURE, 200)
    torch.testing.assert_close(one.minimiser(MIXTURE)(x), MIXTURE.score(x, 0.5), rtol=1e-9, atol=1e-9)

    sigmas = LEVELS.tolist()
    p = torch.stack([torch.exp(-x.square().sum(-1) / (2 * (V + s**2))) / (2 * math.pi * (V + s**2)) for s in sigmas])
    top = sum(p[i] / (V + s**2) for i, s in enumerate(sigmas))
    bottom = 0.4**2 * sum(p[i] / s**2 for i, s in enumerate(sigmas))
    best = MultiscaleDenoising(LEVELS, 0.4).minimiser
    torch.testing.assert_close(best(DATA)(x), -x * (top / bottom)[:, None], rtol=1e-9, atol=1e-9)

    def curl(score):
        turned = lambda y: torch.stack([score(y)[..., 1], -score(y)[..., 0]], -1)  # noqa: E731
        return divergence(turned, x).abs().max()

    assert float(curl(at(MIXTURE.score, 0.5))) < 1e-9
    assert float(curl(best(MIXTURE))) > 0.1


# ----------------------------------------------------------------------------------------------------- energies in fit

OF_ENERGIES = [
    MaximumLikelihood(BOX, 8),
    ContrastiveDivergence(ULA),
    PersistentContrastiveDivergence(ULA),
    NoiseContrastive(NOISE, 2),
]
every_objective = pytest.mark.parametrize("objective", OF_ENERGIES, ids=lambda objective: type(objective).__name__)


@every_objective
def test_several_networks_get_the_losses_of_each(objective):
    """Side by side as one by one: the networks and the points are the same, and so are draws of the same shape."""
    chains = sample(two_modes(), 5)
    networks = [EnergyMLP(8, generator=generator(k)).double().with_chains(chains) for k in range(2)]
    odd = [Gaussian(0.3, chains=chains.clone()), Gaussian(0.7, chains=chains.clone())]
    x = sample(two_modes(), 6).view(2, 3, 2)
    for several in (networks, odd):  # ours broadcast, others go by vmap
        found = objective(Ensemble(several), x, generator=generator(5))

        class Each:
            chains = torch.stack([network.chains for network in several])

            def __call__(self, x, several=several):
                return torch.stack([s(part) for s, part in zip(several, x.unbind(-3), strict=True)], -3)

            def energy(self, x, several=several):
                return torch.stack([s.energy(part) for s, part in zip(several, x.unbind(-3), strict=True)], -2)

        right = objective(Each(), x, generator=generator(5))
        assert found.shape == (2, 3)
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


@every_objective
def test_a_precision_is_learned(objective):
    """Of N(0, v I): 1/v for the unbiased ones, that of the step for contrastive divergence by Langevin steps.

    Sixteen networks, and their mean within nine of its errors: by Student's law of 15 degrees of freedom wrong less
    than once in a million. The precision of the step is 14 % above that of the truth.
    """
    a = 1 / V
    if isinstance(objective, ContrastiveDivergence | PersistentContrastiveDivergence):
        a = (1 - math.sqrt(1 - EPS / V)) * 2 / EPS
    model = Gaussian(1.0, 1.0, chains=torch.zeros(256, 2, dtype=torch.float64))
    trained = fit(
        model, objective, DATA.to(torch.float64), n_steps=400, batch_size=256, learning_rate=3e-2, n_seeds=16,
        generator=generator(6), progress=False,
    )  # fmt: skip
    found = torch.stack([network.a for network in trained.networks])
    error = float(found.std()) / 4
    assert abs(float(found.mean()) - a) < 9 * error < 0.05 * a


def test_every_loss_of_an_energy_says_what_it_needs():
    x = torch.zeros(5, 2)
    for objective in OF_ENERGIES:
        with pytest.raises(TypeError, match=r"score is a ScoreMLP, which has no method energy: .* Give an EnergyMLP"):
            objective(ScoreMLP(4), x)
        with pytest.raises(TypeError, match=r"which has no method energy"):
            fit(ScoreMLP(4), objective, two_modes(), n_steps=1, progress=False)
        with pytest.raises(TypeError, match=r"x is a list"):
            objective(EnergyMLP(4), [[0.0, 0.0]])

        class Wrong(EnergyMLP):
            def energy(self, x):
                return super().energy(x)[..., None]

        with pytest.raises(ValueError, match=r"gives shape \[.*1\] for points"):
            objective(Wrong(4).with_chains(x), x)
    with pytest.raises(TypeError, match=r"score is a EnergyMLP without chains: give network.with_chains\(start\)"):
        OF_ENERGIES[2](EnergyMLP(4), x)
    with pytest.raises(TypeError, match=r"step cannot be called as step\(score, x, generator=g\): .*partial"):
        ContrastiveDivergence(lambda score, x: x)
    with pytest.raises(TypeError, match=r"noise is a Tensor: give a density"):
        NoiseContrastive(x)
    with pytest.raises(ValueError, match=r"step gives shape \[5, 1\] for points of shape \[5, 2\]"):
        ContrastiveDivergence(lambda score, x, *, generator: x[:, :1])(EnergyMLP(4), x)
    with pytest.raises(ValueError, match="has no score"):
        fit(EnergyMLP(4), MaximumLikelihood(BOX), Circle(), n_steps=1, progress=False)


def test_the_memory_of_a_quadrature_is_not_counted_for_each_point():
    """16 n_cells^2 nodes, whatever the batch: as if each point took its own, 256 would not fit into 100 GB."""
    x = sample(two_modes(), 8).float()
    of_network, per_point = try_once(EnergyMLP(64), MaximumLikelihood(BOX, 32), x)[1]
    nodes = 16 * 32**2
    assert 4 * 64 * nodes < of_network < 40 * 64 * nodes
    assert per_point < 20 * 64 * 4
    assert try_once(EnergyMLP(64), Denoising(0.5), x)[1][1] < 40 * 64 * 4


# ------------------------------------------------------------------------------------------- noise-conditional energy


def test_the_formula_of_a_noise_conditional_energy():
    """|y|^2 / (2 t^2) - sd / (sigma gain) F(gain y / t, log(sigma / unit) / 2), layer by layer."""
    network = NoiseConditionalEnergyMLP(
        5, 1, 2.0, 3.0, data_mean=(1.0, -0.5), sigma_unit=0.5, generator=generator()
    ).double()  # fmt: skip
    x, sigma = sample(two_modes(), 6), torch.linspace(0.2, 3.0, 6, dtype=torch.float64)
    y, t = x - torch.tensor([1.0, -0.5], dtype=torch.float64), (sigma**2 + 4).sqrt()
    features = torch.cat([3 * y / t[:, None], (sigma / 0.5).log()[:, None] / 2], -1)
    (w1, b1), (w2, b2) = ((layer.weight, layer.bias) for layer in network.layers)
    f = (nn.functional.silu(features @ w1.T + b1) @ w2.T + b2)[:, 0]
    right = y.square().sum(-1) / (2 * t**2) - 2 / (3 * sigma) * f
    torch.testing.assert_close(network.energy(x, sigma), right, rtol=1e-12, atol=1e-12)


def test_a_noise_conditional_energy_is_learned_by_the_loss_of_scores():
    """Its score is minus the gradient of its energy, at every level; after training, near that of p_sigma."""
    network = NoiseConditionalEnergyMLP(32, 2, generator=generator(1)).double()
    x = sample(two_modes(), 20)
    sigma, h = torch.linspace(0.3, 3.0, 20, dtype=torch.float64), 1e-5
    steps = h * torch.eye(2, dtype=torch.float64)
    right = torch.stack([network.energy(x + e, sigma) - network.energy(x - e, sigma) for e in steps], -1) / (2 * h)
    torch.testing.assert_close(network(x, sigma).detach(), -right.detach(), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(network.energy(x, 0.7), network.energy(x, torch.full((20,), 0.7, dtype=torch.float64)))

    g = generator(2)
    objective = NoiseConditional(LogUniform(0.5, 5.0), antithetic=True)
    trained = fit(
        NoiseConditionalEnergyMLP(64, 2, generator=g), objective, two_modes(), n_steps=200, generator=g,
        progress=False,
    )  # fmt: skip
    y = sample(two_modes().noised(1.0), 2000)
    truth = two_modes().score(y, 1.0)
    error = (trained.network(y.float(), 1.0).double() - truth).square().sum(-1).mean()
    assert float(error) < 0.1 * float(truth.square().sum(-1).mean())


@pytest.mark.parametrize("noise", [Circle(), Points([[0.0, 1.0]]), Mixture([0.5, 0.5], [NOISE, Circle().rotated(0.5)])])
def test_a_noise_without_a_density_is_refused(noise):
    with pytest.raises(ValueError, match=r"noise is .*, which lies on points or on a curve .*noise\.noised\(0\.5\)"):
        NoiseContrastive(noise)
    NoiseContrastive(noise.noised(0.5))


@pytest.mark.parametrize("noise", [Square(), NOISE.truncated((-1.0, 1.0, -1.0, 1.0)).shifted((0.0, 0.0))])
def test_data_where_the_noise_has_no_mass_are_refused(noise):
    """There the odds are infinite, the loss of the data 0 whatever the energy, and so is its gradient."""
    network, objective = EnergyMLP(8, generator=generator()), NoiseContrastive(noise)
    inside = 0.4 * torch.ones(3, 2)
    assert objective(network, inside, generator=generator()).isfinite().all()
    x = torch.cat([inside, torch.tensor([[0.0, 7.0]])])
    with pytest.raises(ValueError, match=r"noise has no mass at 1 of 4 points, the first being \(0, 7\): "):
        objective(network, x, generator=generator())
    with pytest.raises(ValueError, match="noise has no mass at"):
        fit(network, objective, isotropic([[9.0, 9.0]], 1.0), n_steps=1, generator=generator(), progress=False)
