"""Ancestral sampling and DDIM: guess the clean point, and go back to a noisy one at an earlier time."""

import torch
from torch import Tensor

from toylab._internal.cuda_graphs import captured
from toylab._internal.random import normal_like
from toylab.samplers.annealed import denoised
from toylab.samplers.chains import Chains, CountingScore, progress_bar
from toylab.samplers.reverse_sde import begin
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time, plain_noise


def clean_point(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time) -> Tensor:
    """(x + sigma^2 s_t(x)) / alpha, with the exact score the mean E[x_0 | x_t = x] (Tweedie's formula).

    It is that of x / alpha = x_0 + (sigma / alpha) z, a clean point with plain noise: ``denoised``.

    Args:
        sde: gives alpha and sigma.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: points, shape [..., 2].
        t: the time, a number or one a point.
    """
    return denoised(score, *plain_noise(sde, x, t))


def ancestral_step(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time, *, generator: torch.Generator | None = None
) -> Tensor:
    """Draw x_u from the law of x_u given x_t and x_0, with the guess m = E[x_0 | x_t] for x_0.

    With a = alpha_t / alpha_u and c^2 = sigma_t^2 - a^2 sigma_u^2, forwards x_t | x_u ~ N(a x_u, c^2 I), and

        x_u | x_t, x_0 ~ N((a sigma_u^2 x_t + alpha_u c^2 x_0) / sigma_t^2, sigma_u^2 c^2 / sigma_t^2 I).
    """
    a = sde.alpha(t) / sde.alpha(u)
    to_x, c2 = a * (sde.sigma(u) / sde.sigma(t)) ** 2, sde.sigma(t) ** 2 - (a * sde.sigma(u)) ** 2
    to_clean, std = sde.alpha(u) * c2 / sde.sigma(t) ** 2, sde.sigma(u) * c2.sqrt() / sde.sigma(t)
    return to_x.to(x) * x + to_clean.to(x) * clean_point(sde, score, x, t) + std.to(x) * normal_like(x, generator)


def ddim_step(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time) -> Tensor:
    """x_u = alpha_u m + sigma_u e, with m = E[x_0 | x_t] and the noise e = (x_t - alpha_t m) / sigma_t = -sigma_t s."""
    m = clean_point(sde, score, x, t)
    e = (x - sde.alpha(t).to(x) * m) / sde.sigma(t).to(x)
    return sde.alpha(u).to(x) * m + sde.sigma(u).to(x) * e


@torch.no_grad()
def ancestral(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Ancestral sampling: back from time to time by the Gaussian law of x_u given x_t and a guess of the clean point.

    Exact for data at a single point, however few the times; else right to order 1 in the step. With the variance of
    the posterior, it is the smaller of the two choices of DDPM.
    Source: Ho et al. 2020 (arXiv:2006.11239), eqs. 6 and 7, here for any alpha and sigma.

    Args:
        sde: such as ``VE()``, ``VP()``; its alpha and sigma alone are used.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the chains start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 501)``.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; one evaluation of the score a step. Some may have diverged; a warning says so. Ctrl-C returns what
        is done so far.
    """
    grid, recorder = begin(sde, score, x, times, keep_every)
    counted = CountingScore(score)
    step = captured(
        lambda x, t, u: ancestral_step(sde, counted, x, t, u, generator=generator),
        x.device, generator=generator, uses=[sde, score], counter=counted,
    )  # fmt: skip
    with progress_bar("ancestral", len(grid) - 1, progress) as shown:
        for t, u in zip(grid, grid[1:], strict=False):
            x = step(x, t, u)
            recorder.append(x, u)
            shown.update()
    return recorder.chains(x, counted.n)


@torch.no_grad()
def ddim(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None = None,
    progress: bool = True,
) -> Chains:
    """DDIM with eta = 0: back from time to time with the guessed clean point and the guessed noise, none drawn.

    It is Euler's method for the probability flow in other variables: with y = x / alpha and l = sigma / alpha the flow
    is dy/dl = e, and a step is y_u = y_t + (l_u - l_t) e. So it converges to the flow, at order 1.
    Source: Song, Meng & Ermon 2021 (arXiv:2010.02502), eqs. 12 to 14.

    Args:
        sde: such as ``VE()``, ``VP()``; its alpha and sigma alone are used.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the chains start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 51)``.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; one evaluation of the score a step. Some may have diverged; a warning says so. Ctrl-C returns what
        is done so far.
    """
    grid, recorder = begin(sde, score, x, times, keep_every)
    counted = CountingScore(score)
    step = captured(
        lambda x, t, u: ddim_step(sde, counted, x, t, u), x.device, uses=[sde, score], counter=counted
    )  # fmt: skip
    with progress_bar("ddim", len(grid) - 1, progress) as shown:
        for t, u in zip(grid, grid[1:], strict=False):
            x = step(x, t, u)
            recorder.append(x, u)
            shown.update()
    return recorder.chains(x, counted.n)
