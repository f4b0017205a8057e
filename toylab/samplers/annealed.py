"""Annealed Langevin dynamics: Langevin on p_sigma for a falling sequence of noise levels."""

from functools import partial

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.cuda_graphs import captured
from toylab.samplers.chains import Chains, CountingScore, Recorder, progress_bar
from toylab.samplers.langevin import langevin_step
from toylab.score import NoiseConditionalScore, at


@torch.no_grad()
def annealed_langevin(
    score: NoiseConditionalScore,
    x: Tensor,
    sigmas: Tensor,
    *,
    step_size: float,
    n_steps: int,
    denoise: bool = False,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """For sigma_1 > ... > sigma_L: n_steps of Langevin on p_sigma_i with step alpha_i = eps (sigma_i / sigma_L)^2.

    It ends near p_sigma_L, not p; a last denoising step takes most of that noise away again. Stable at a level iff
    alpha_i < 4 (v + sigma_i^2), v the least variance of the data: eps < 4 sigma_L^2 always is.
    Source: Song & Ermon 2019 (arXiv:1907.05600), algorithm 1.

    Args:
        score: s(x, sigma), exact (``p.score``) or learned.
        x: where the chains start, shape [n, 2].
        sigmas: the levels, 1-D, positive, strictly decreasing (``schedules.geometric``).
        step_size: eps > 0, the step at the last level.
        n_steps: steps a level.
        denoise: end with x + sigma_L^2 s(x, sigma_L), the mean of the clean point given the noisy one (``denoised``).
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the noise level; None keeps no path.
            ``keep_every=n_steps`` is a record by level: one frame at the end of each.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains. Some may have diverged; a warning says so. Ctrl-C returns what is done so far.
    """
    validate.function("score", score, "p.score")
    validate.cloud("x", x)
    validate.positive("step_size", step_size)
    validate.count("n_steps", n_steps)
    levels = validate.levels("sigmas", sigmas).tolist()
    recorder, counted = Recorder(x, n_steps * len(levels), keep_every, label=levels[0]), CountingScore(score)
    with progress_bar("annealed_langevin", n_steps * len(levels), progress) as shown:
        for sigma in levels:
            alpha = step_size * (sigma / levels[-1]) ** 2
            step = captured(
                partial(langevin_step, at(counted, sigma), step_size=alpha, generator=generator),
                x.device, generator=generator, uses=[score], counter=counted,
            )  # fmt: skip
            for _ in range(n_steps):
                x = step(x)
                recorder.append(x, sigma)
                shown.update()
    x = denoised(counted, x, levels[-1]) if denoise else x
    return recorder.chains(x, counted.n)


def denoised(score: NoiseConditionalScore, x: Tensor, sigma: Tensor | float) -> Tensor:
    """x + sigma^2 s(x, sigma), with the exact score the mean E[X | X + sigma Z = x] (Tweedie's formula).

    ``sigma`` is a number, or one level a point. ``metrics.posterior_covariance`` is the covariance to this mean.
    Source: Jolicoeur-Martineau et al. 2020 (arXiv:2009.05475), who end annealed Langevin with it.
    """
    variance = sigma[..., None] ** 2 if isinstance(sigma, Tensor) else sigma**2
    return x + variance * score(x, sigma)
