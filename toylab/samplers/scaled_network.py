"""Langevin as a tutorial writes it, for a network that outputs sigma times the score: a step of another temperature."""

import torch
from torch import Tensor

from toylab._internal import fields, validate
from toylab._internal.devices import CPU, home
from toylab._internal.random import normal_like
from toylab.samplers.chains import Chains
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.samplers.starts import uniform_start
from toylab.score import Score

_SCALED = fields.Kind(("x",), "a function of x alone", "lambda x: sigma * p.score(x, sigma)")


def temperature(alpha: float, eta: float, sigma: float) -> float:
    """The T at which x + alpha f(x) + eta z samples, for f = sigma * score: T = eta^2 / (2 alpha sigma).

    The step in front of the score is a = alpha sigma, and noise of variance 2 a would be that of T = 1. With the
    published alpha = 0.1, eta = 0.05, sigma = 0.1 it is 0.125; eta = sqrt(2 alpha sigma) = 0.141 would match. The step
    is an error of its own: about a point noised by sigma the variance is T sigma^2 / (1 - alpha / (2 sigma)), which
    at these constants is twice T sigma^2.

    >>> round(temperature(0.1, 0.05, 0.1), 6)
    0.125
    """
    alpha, sigma = validate.positive("alpha", alpha), validate.positive("sigma", sigma)
    return validate.positive("eta", eta) ** 2 / (2 * alpha * sigma)


@torch.no_grad()
def scaled_network_langevin(
    network: Score,
    n: int,
    *,
    alpha: float = 0.1,
    eta: float = 0.05,
    n_steps: int = 100,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """From a uniform start on [-1, 1]^2, n_steps of x' = x + alpha f(x) + eta z, and at the end tanh.

    It runs where the weights of a network are; for any other f, where the generator is.

    A documented special case, with the published defaults: for a network f that learned sigma times the score it does
    not sample p_sigma, but p_sigma^(1/T) with T = ``temperature(alpha, eta, sigma)``, and the final tanh moves what
    came out (1 to 0.76). Source: J. M. Tomczak, "Diffusion-based generative models", tutorial on score matching.

    Args:
        network: f, such as x -> sigma * p.score(x, sigma), or minus a noise prediction.
        n: chains.
        alpha: step in front of f.
        eta: standard deviation of the noise per step.
        n_steps: number of steps.
        keep_every: keep every so-many-th frame, before the tanh, in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.
    """
    validate.field("network", network, _SCALED)
    alpha, eta = validate.positive("alpha", alpha), validate.positive("eta", eta)
    n_steps = validate.count("n_steps", n_steps)
    drawn = validate.generator(generator)
    device = home(network) or (CPU if drawn is None else drawn.device)
    x = uniform_start(n, (-1.0, 1.0, -1.0, 1.0), device=device, generator=generator)
    counted, recorder = CountingScore(network, "network"), Recorder(x, n_steps, keep_every)

    def step(x: Tensor, alpha: float) -> Tensor:
        return x + alpha * counted(x) + eta * normal_like(x, generator)

    x = follow("scaled_network_langevin", [Leg(step, [alpha] * n_steps)], x, recorder, progress=progress)
    return recorder.chains(x.tanh(), counted.n, score=counted)
