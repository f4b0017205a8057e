"""Denoising score matching: noise the data, and regress on the score of the noise, or on the noise itself."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import fields, validate
from toylab._internal.random import normal_like
from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.objectives.inputs import check_inputs, require_density
from toylab.objectives.squares import half_square, half_squared_distance
from toylab.score import Score


@dataclass(frozen=True)
class Denoising:
    """1/2 |s(x~) - grad log q(x~ | x)|^2 with x~ = x + sigma z, where grad log q(x~ | x) = -z / sigma.

    Its minimiser is the score of p_sigma, not that of p. Source: Vincent 2011, eq. 9.

    As sigma falls the loss per point is dominated by |z|^2 / (2 sigma^2) + s(x).z / sigma, which is pure noise: its
    standard deviation grows like 1 / sigma^2. Either option below keeps the mean and removes that noise.

    Args:
        sigma: standard deviation of the noise, > 0.
        antithetic: average the losses of z and -z, in which s(x).z / sigma cancels; two evaluations per point.
        control_variate: subtract |z|^2 / (2 sigma^2) and s(x).z / sigma, and add the mean 1 / sigma^2 (d = 2) of the
            first; the second has mean 0. Evaluates s at x too, and its gradient stays unbiased.
    """

    sigma: float
    antithetic: bool = False
    control_variate: bool = False

    def __post_init__(self) -> None:
        remedy = "The target -z / sigma divides by it; for clean data use Implicit or Sliced"
        vars(self).update(sigma=validate.positive("sigma", self.sigma, remedy))

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        score = check_inputs(score, x, generator)
        z = normal_like(x, generator)
        if self.antithetic:
            x, z = torch.stack([x, x]), torch.stack([z, -z])
        s, target = score(torch.add(x, z, alpha=self.sigma)), z / -self.sigma
        if self.control_variate:
            loss = half_square(s) - ((s - score(x)) * target).sum(-1) + 1 / self.sigma**2
        else:
            loss = half_squared_distance(s, target)
        return loss.mean(0) if self.antithetic else loss

    def offset(self, density: Density) -> float:
        """1/2 E|grad log p_sigma|^2 - 1 / sigma^2 (d = 2), by quadrature: minus the mean loss of the true score."""
        return 0.5 * fisher_information(require_density(density), self.sigma) - 1 / self.sigma**2


@dataclass(frozen=True)
class NoisePrediction:
    """1/2 |e(x~) - z|^2 with x~ = x + sigma z: the network e predicts the noise, and s = -e / sigma is the score.

    It is sigma^2 times the denoising loss of s. A sampler that takes a step a * e for a * s therefore takes a step
    sigma times as long: with x' = x - a e(x) + b z its temperature is b^2 / (2 a sigma).
    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 14, at one noise level.

    Args:
        sigma: standard deviation of the noise, > 0.
    """

    sigma: float

    def __post_init__(self) -> None:
        vars(self).update(
            sigma=validate.positive("sigma", self.sigma, "The noise to be predicted is that of x + sigma z")
        )

    def __call__(self, noise_prediction: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]; e is called like a score."""
        noise_prediction = check_inputs(noise_prediction, x, generator, fields.SCORE, "noise_prediction")
        z = normal_like(x, generator)
        return half_squared_distance(noise_prediction(x + self.sigma * z), z)

    def score(self, noise_prediction: Score) -> Score:
        """The score -e(x) / sigma that a noise prediction e stands for."""
        return _ScoreOfNoise(validate.field("noise_prediction", noise_prediction, fields.SCORE), self.sigma)

    def offset(self, density: Density) -> float:
        """sigma^2/2 E|grad log p_sigma|^2 - 1 (d = 2): mean loss + offset = sigma^2 times the Fisher divergence."""
        return 0.5 * self.sigma**2 * fisher_information(require_density(density), self.sigma) - 1


@dataclass(frozen=True, eq=False)
class _ScoreOfNoise:  # not a function, which would hide what it calls: a network, and where its weights are
    noise_prediction: Score
    sigma: float

    def __call__(self, x: Tensor, /) -> Tensor:
        return -self.noise_prediction(x) / self.sigma
