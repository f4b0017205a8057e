"""Annealed Langevin dynamics: Langevin on p_sigma for a falling sequence of noise levels."""

from functools import partial

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.samplers import fused
from toylab.samplers.chains import Chains
from toylab.samplers.langevin import langevin_step
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.samplers.step_sizes import StepSize, step_sizes
from toylab.samplers.tweedie import denoised
from toylab.score import NoiseConditionalScore, at


@torch.no_grad()
def annealed_langevin(
    score: NoiseConditionalScore,
    x: Tensor,
    sigmas: Tensor,
    *,
    step_size: StepSize,
    n_steps: int,
    denoise: bool = False,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """For sigma_1 > ... > sigma_L: n_steps of Langevin on p_sigma_i with step alpha_i = eps (sigma_i / sigma_L)^2.

    It ends near p_sigma_L, not p; a last denoising step removes most of that noise. Stable at a level iff
    alpha_i < 4 (v + sigma_i^2), v the least variance of the data: eps < 4 sigma_L^2 always is.
    Source: Song & Ermon 2019 (arXiv:1907.05600), algorithm 1.

    Args:
        score: s(x, sigma), exact (``p.score``) or learned.
        x: where the chains start, shape [n, 2].
        sigmas: the levels, 1-D, positive, strictly decreasing (``schedules.geometric``).
        step_size: eps > 0, the step at the last level; or a schedule: a function of the step 0, 1, .. n_steps - 1
            within a level, the same at all levels.
        n_steps: steps per level.
        denoise: end with x + sigma_L^2 s(x, sigma_L), the mean of the clean point given the noisy one (``denoised``).
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the noise level; None keeps no path.
            ``keep_every=n_steps`` records by level: one frame at the end of each.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains. Some may have diverged; a warning says so. Ctrl-C returns what is done so far.
    """
    validate.score("score", score, of_sigma=True)
    validate.finite_cloud("x", x)
    sizes, levels = step_sizes(step_size, n_steps), validate.levels("sigmas", sigmas).tolist()
    largest = max(sizes) * (levels[0] / levels[-1]) ** 2
    if largest > torch.finfo(x.dtype).max:
        raise ValueError(
            f"sigmas runs from {levels[0]:.3g} to {levels[-1]:.3g}, so that the first step would be of {largest:.3g}, "
            f"more than {x.dtype} holds. Begin at a lower level: one of the size of the data is enough."
        )
    counted = CountingScore(score)
    recorder = Recorder(x, n_steps * len(levels), keep_every, label=levels[0])

    def alphas(sigma: float) -> list[float]:
        return [eps * (sigma / levels[-1]) ** 2 for eps in sizes]

    def leg(sigma: float) -> Leg[Tensor]:
        step = partial(langevin_step, at(counted, sigma), generator=generator)
        return Leg(step, alphas(sigma), [sigma] * n_steps)

    carried = fused.langevin(
        counted, x, [alpha for sigma in levels for alpha in alphas(sigma)], recorder, name="annealed_langevin",
        sigmas=[sigma for sigma in levels for _ in sizes], generator=generator, progress=progress,
    )  # fmt: skip
    if carried is None:
        carried = follow(
            "annealed_langevin", map(leg, levels), x, recorder,
            uses=[score], generator=generator, counter=counted, progress=progress,
        )  # fmt: skip
    carried = denoised(counted, carried, levels[-1]) if denoise else carried
    return recorder.chains(carried, counted.n, score=counted)
