"""Estimators of the weight of one of two modes, and of the precision of a half-normal law, each as its loss.

``experiments.asymptotic_variance`` says what such a loss is for.
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from toylab.experiments.asymptotic_variance import Loss


@dataclass(frozen=True)
class TwoModes:
    """p(x) = w N(x; a, v) + (1 - w) N(x; -a, v) on the line, v = 1 + sigma^2, and its derivatives in x.

    The score knows w only through tanh u, where u is half the log-odds of the right mode at x: it stays at 1 or -1, and
    says nothing, wherever one mode alone has data.

    Args:
        a: half the distance of the modes, > 0.
    """

    a: float

    def log_prob(self, w: Tensor, x: Tensor, sigma: float = 0.0) -> Tensor:
        """log w N(x; a, v) - log r, r = sigmoid(2 u) the share of the right mode at x."""
        v = 1 + sigma**2
        log_share = functional.logsigmoid(2 * self._u(w, x, sigma))
        return w.log() - (x - self.a).square() / (2 * v) - 0.5 * math.log(2 * math.pi * v) - log_share

    def score(self, w: Tensor, x: Tensor, sigma: float = 0.0) -> Tensor:
        """(a tanh u - x) / v."""
        return (self.a * self._u(w, x, sigma).tanh() - x) / (1 + sigma**2)

    def divergence(self, w: Tensor, x: Tensor, sigma: float = 0.0) -> Tensor:
        """The derivative of the score, (a^2 (1 - tanh^2 u) / v - 1) / v."""
        v = 1 + sigma**2
        return (self.a**2 * (1 - self._u(w, x, sigma).tanh().square()) / v - 1) / v

    def _u(self, w: Tensor, x: Tensor, sigma: float) -> Tensor:
        return 0.5 * (w.log() - (-w).log1p()) + self.a * x / (1 + sigma**2)


def maximum_likelihood(p: TwoModes) -> Loss:
    """-log p(x)."""
    return lambda w, x: -p.log_prob(w, x)


def implicit(p: TwoModes) -> Loss:
    """s'(x) + s(x)^2 / 2."""
    return lambda w, x: p.divergence(w, x) + 0.5 * p.score(w, x).square()


def denoising(p: TwoModes, sigma: float) -> Loss:
    """(s_sigma(x + sigma z) + z / sigma)^2 / 2, with z drawn once for each point."""
    return lambda w, x, z: 0.5 * (p.score(w, x + sigma * z, sigma) + z / sigma).square()


def denoising_anew(p: TwoModes, sigma: float, z: Tensor, probabilities: Tensor) -> Loss:
    """The mean over z of the denoising loss of a point: what a training sees that draws z anew in every epoch.

    Args:
        p: the model.
        sigma: standard deviation of the noise.
        z: nodes of a quadrature of N(0, 1), [k].
        probabilities: what each stands for, [k].
    """
    loss = denoising(p, sigma)
    return lambda w, x: loss(w[..., None], x[..., None], z) @ probabilities


def noise_contrastive(p: TwoModes) -> Loss:
    """-log h(x) - log (1 - h(y)), h = p / (p + q), with one y for each x from q = N(0, 1 + a^2).

    q has the mean and the variance of the data at w = 1/2. Source: Gutmann & Hyvarinen 2012.
    """
    v = 1 + p.a**2

    def log_ratio(w: Tensor, x: Tensor) -> Tensor:
        return p.log_prob(w, x) + x.square() / (2 * v) + 0.5 * math.log(2 * math.pi * v)

    return lambda w, x, y: -functional.logsigmoid(log_ratio(w, x)) - functional.logsigmoid(-log_ratio(w, y))


def half_normal_likelihood(precision: Tensor, x: Tensor) -> Tensor:
    """-log p of the half-normal law, log p(x) = (log precision - precision x^2) / 2 + const for x > 0."""
    return 0.5 * (precision * x.square() - precision.log())


def half_normal_non_negative(precision: Tensor, x: Tensor) -> Tensor:
    """2 x s + x^2 (s' + s^2 / 2) with s = -precision x: the divergence is weighted by x^2, which is 0 at the wall.

    Source: Hyvarinen 2007, on non-negative data.
    """
    s = -precision * x
    return 2 * x * s + x.square() * (0.5 * s.square() - precision)
