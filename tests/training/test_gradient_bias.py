"""The exact gradient of the log-likelihood, and the bias of those that stand for it."""

import functools

import pytest
import torch
from torch import nn

from toylab.densities import isotropic, two_modes
from toylab.densities.quadrature import expectation
from toylab.networks import EnergyMLP, ScoreMLP
from toylab.objectives import ContrastiveDivergence, Implicit, MaximumLikelihood
from toylab.samplers import langevin_step
from toylab.training import gradient_bias, log_likelihood_gradient

BOX = (-12.0, 12.0, -12.0, 12.0)
V, A, EPS = 2.0, 0.8, 0.5
DATA = isotropic([[0.0, 0.0]], std=V**0.5)


class Gaussian(nn.Module):
    """E(x) = (a x_1^2 + b x_2^2) / 2, with a weight that does nothing."""

    def __init__(self, a, b):
        super().__init__()
        self.precisions = nn.Parameter(torch.tensor([a, b]))
        self.unused = nn.Parameter(torch.zeros(2))

    def energy(self, x):
        return 0.5 * (self.precisions * x.square()).sum(-1)

    def forward(self, x):
        return -self.precisions * x


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_of_a_gaussian_it_is_half_the_difference_of_variances():
    found = log_likelihood_gradient(Gaussian(A, 0.3), DATA, (-20.0, 20.0, -20.0, 20.0))
    right = torch.tensor([0.5 / A - 0.5 * V, 0.5 / 0.3 - 0.5 * V], dtype=torch.float64)
    torch.testing.assert_close(found["precisions"], right, rtol=1e-6, atol=1e-6)  # .3 is a float32
    assert torch.equal(found["unused"], torch.zeros(2, dtype=torch.float64))


def test_of_a_network_it_is_the_slope_of_the_mean_log_density():
    """Along a random direction, against a central difference of the mean by the quadrature of the data."""
    p, network = two_modes(), EnergyMLP(8, generator=generator()).double()
    box = (-14.0, 14.0, -14.0, 14.0)  # the data's own grid reaches beyond, with no mass
    gradient = log_likelihood_gradient(network, p, box)
    direction = {name: torch.randn(w.shape, dtype=w.dtype, generator=generator(2)) for name, w in gradient.items()}
    slope = sum(float((gradient[name] * d).sum()) for name, d in direction.items())
    h, means = 1e-4, []
    with torch.no_grad():
        for step in (h, -2 * h):
            for name, w in network.named_parameters():
                w += step * direction[name]
            log_z = network.density(box, n_cells=64).log_normaliser
            means.append(expectation(lambda x, log_z=log_z: -network.energy(x) - log_z, p))
    assert (means[0] - means[1]) / (2 * h) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_the_bias_of_contrastive_divergence_is_the_one_that_is_known(k):
    """Per axis 1/2 (v - v_k) in place of 1/2 (v - 1/a), v_k = rho^2 v_(k-1) + eps. |z| < 5: wrong once in a million."""
    model = Gaussian(A, 1.0)
    exact = torch.tensor([0.5 * (V - 1 / A), 0.5 * (V - 1.0)])
    after = torch.tensor([V, V])
    for _ in range(k):
        after = (1 - EPS * model.precisions.detach() / 2) ** 2 * after + EPS
    g = 0.5 * (V - after)
    objective = ContrastiveDivergence(functools.partial(langevin_step, step_size=EPS), k)
    found = gradient_bias(model, objective, DATA, BOX, n_batches=100, batch_size=400, generator=generator(1))
    assert found.length == pytest.approx(float(exact.norm()), rel=1e-5)
    along, squared = float(g @ exact / exact.square().sum()), float((g - exact).square().sum() / exact.square().sum())
    assert 0 < along < 1
    assert abs(found.along - along) < 5 * found.along_error < 0.1
    assert abs(found.squared - squared) < 5 * found.squared_error < 0.2


def test_maximum_likelihood_has_no_bias_and_the_noise_of_batches_is_none():
    """150 seeds: the mean of ``squared`` is 0 within its scatter, which the error bars cover.

    With the noise of the batches left in it would be 8 of its errors, or more, above. |z| < 5.3: by Student's law of
    149 degrees of freedom wrong less than once in a million.
    """
    network = EnergyMLP(8, generator=generator())
    found = [
        gradient_bias(network, MaximumLikelihood(BOX, 16), two_modes(), BOX, n_cells=16, n_batches=8, batch_size=16,
                      generator=generator(seed))
        for seed in range(150)
    ]  # fmt: skip
    for mean, error in (
        (torch.tensor([f.along - 1 for f in found]), torch.tensor([f.along_error for f in found])),
        (torch.tensor([f.squared for f in found]), torch.tensor([f.squared_error for f in found])),
    ):
        assert abs(float(mean.mean())) < 5.3 * float(mean.std()) / 150**0.5
        assert float(error.square().mean().sqrt()) > 0.7 * float(mean.std())
    text = repr(found[0])
    assert text.startswith("GradientBias\n") and "along the exact gradient" in text
    assert "squared bias" in found[0]._repr_html_()


def test_it_says_what_it_needs():
    network = EnergyMLP(4, generator=generator())
    with pytest.raises(TypeError, match=r"score is a ScoreMLP, which has no method energy"):
        log_likelihood_gradient(ScoreMLP(4), two_modes(), BOX)
    with pytest.raises(TypeError, match=r"network is a Implicit without parameters"):
        log_likelihood_gradient(Implicit(), two_modes(), BOX)
    with pytest.raises(TypeError, match=r"density is a Tensor: give a density"):
        log_likelihood_gradient(network, torch.zeros(5, 2), BOX)
    with pytest.raises(ValueError, match=r"the nodes see a mass of 0.2 of the density, on extent=.*larger extent"):
        log_likelihood_gradient(network, two_modes(), (-12.0, 0.0, -12.0, 0.0))
    with pytest.raises(ValueError, match="n_batches"):
        gradient_bias(network, MaximumLikelihood(BOX), two_modes(), BOX, n_batches=3)
