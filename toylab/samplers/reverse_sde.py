"""The reverse SDE: from noise to data, by small steps back in time."""

import math

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.cuda_graphs import captured
from toylab._internal.random import normal_like
from toylab.samplers.chains import Chains, CountingScore, Recorder, progress_bar
from toylab.samplers.langevin import langevin_step
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time, require_sde, score_at


def reverse_drift(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time) -> Tensor:
    """f(t) x - g(t)^2 s_t(x), shape of x: what dx = [..] dt + g dw runs along, back in time."""
    return sde.drift(x, t) - sde.diffusion(t).to(x) ** 2 * score_at(sde, score, t)(x)


def reverse_sde_step(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time, *, generator: torch.Generator | None = None
) -> Tensor:
    """x' = x - h [f x - g^2 s_t(x)] + g sqrt(h) z, from time t back to u = t - h: a step of Euler-Maruyama."""
    h = t - u
    return x - h * reverse_drift(sde, score, x, t) + h**0.5 * sde.diffusion(t).to(x) * normal_like(x, generator)


def reverse_sde_heun_step(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time, *, generator: torch.Generator | None = None
) -> Tensor:
    """A step of Euler-Maruyama to y, then x' = x - h/2 [b_t(x) + b_u(y)] + (g(t) + g(u))/2 sqrt(h) z, the same z.

    b_t(x) = f x - g^2 s_t(x), and h = t - u.
    """
    h, noise = t - u, normal_like(x, generator)
    g_here, g_there = sde.diffusion(t).to(x), sde.diffusion(u).to(x)
    here = reverse_drift(sde, score, x, t)
    there = reverse_drift(sde, score, x - h * here + h**0.5 * g_here * noise, u)
    return x - 0.5 * h * (here + there) + 0.5 * h**0.5 * (g_here + g_there) * noise


@torch.no_grad()
def reverse_sde(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Follow dx = [f x - g^2 s_t(x)] dt + g dw back in time, by Euler-Maruyama.

    With the exact score and a start in the law of x at times[0] it ends in the law at times[-1], which is still noised
    by sigma(t) there, up to an error of order 1 in the step. A start in ``sde.prior`` adds the prior's own.
    Source: Anderson 1982; Song et al. 2021 (arXiv:2011.13456), eq. 6.

    Args:
        sde: such as ``VE()``, ``VP()``.
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
        lambda x, t, u: reverse_sde_step(sde, counted, x, t, u, generator=generator),
        x.device, generator=generator, uses=[sde, score], counter=counted,
    )  # fmt: skip
    with progress_bar("reverse_sde", len(grid) - 1, progress) as shown:
        for t, u in zip(grid, grid[1:], strict=False):
            x = step(x, t, u)
            recorder.append(x, u)
            shown.update()
    return recorder.chains(x, counted.n)


@torch.no_grad()
def reverse_sde_heun(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """The reverse SDE by Heun's method with one noise a step: its law is right to order 2, for g depends on t alone.

    Source: Kloeden & Platen 1992, section 15.1, the explicit scheme of weak order 2 for additive noise.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the chains start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 251)``.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; two evaluations of the score a step. Some may have diverged; a warning says so. Ctrl-C returns what
        is done so far.
    """
    grid, recorder = begin(sde, score, x, times, keep_every)
    counted = CountingScore(score)
    step = captured(
        lambda x, t, u: reverse_sde_heun_step(sde, counted, x, t, u, generator=generator),
        x.device, generator=generator, uses=[sde, score], counter=counted,
    )  # fmt: skip
    with progress_bar("reverse_sde_heun", len(grid) - 1, progress) as shown:
        for t, u in zip(grid, grid[1:], strict=False):
            x = step(x, t, u)
            recorder.append(x, u)
            shown.update()
    return recorder.chains(x, counted.n)


def corrector_step(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, snr: float, *, generator: torch.Generator | None = None
) -> Tensor:
    """A step of Langevin on p_t, x' = x + eps/2 s_t(x) + sqrt(eps) z, with eps from a signal-to-noise ratio.

    eps = 4 (snr E|z| / |s_t|)^2, E|z| = sqrt(pi/2) in the plane and |s_t| the mean over all chains of the norm of the
    score, those not finite left out. In the paper's convention, x + e s + sqrt(2 e) z, that is
    e = 2 (snr |z| / |s|)^2. There |z| is the norm of the very noise of the step, in its code averaged over the chains:
    for many chains the same, and for few the noise would choose its own step. For VP the paper's e has one more
    factor, 1 - beta dt, which goes to 1 as the times get close.
    """
    here = score_at(sde, score, t)(x)
    norms = here.norm(dim=-1)
    finite = norms.isfinite()
    mean = norms.where(finite, 0.0).sum() / finite.sum()  # to pick them out would wait for a GPU to count them
    eps = 4 * snr**2 * (math.pi / 2) / mean**2
    return langevin_step(lambda _: here, x, eps, generator=generator)


@torch.no_grad()
def predictor_corrector(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    snr: float = 0.16,
    n_corrections: int = 1,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """After each step of the reverse SDE from t to u, n_corrections steps of Langevin on p_u.

    The step of a correction is set by ``snr`` (see ``corrector_step``): about 4 snr^2 sigma^2 where the noise is most
    of x. Its own bias does not vanish with more times, only with a smaller snr: alone, and at rest, it would give a
    normal law of variance v the variance v (1 + snr^2). The chains share its step, and so are not quite independent.
    Source: Song et al. 2021 (arXiv:2011.13456), algorithms 2 to 5; snr = 0.16 is theirs for VE.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the chains start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 501)``.
        snr: signal-to-noise ratio r > 0 of a correction.
        n_corrections: corrections a step.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; 1 + n_corrections evaluations of the score a step. Some may have diverged; a warning says so.
        Ctrl-C returns what is done so far.
    """
    validate.positive("snr", snr)
    validate.count("n_corrections", n_corrections)
    grid, recorder = begin(sde, score, x, times, keep_every)
    counted = CountingScore(score)

    def there(x: Tensor, t: Time, u: Time) -> Tensor:
        x = reverse_sde_step(sde, counted, x, t, u, generator=generator)
        for _ in range(n_corrections):
            x = corrector_step(sde, counted, x, u, snr, generator=generator)
        return x

    step = captured(there, x.device, generator=generator, uses=[sde, score], counter=counted)
    with progress_bar("predictor_corrector", len(grid) - 1, progress) as shown:
        for t, u in zip(grid, grid[1:], strict=False):
            x = step(x, t, u)
            recorder.append(x, u)
            shown.update()
    return recorder.chains(x, counted.n)


def begin(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, times: Tensor, keep_every: int | None, *, rising: bool = False
) -> tuple[list[float], Recorder]:
    """The times as numbers, and a record whose labels are times; raise unless these can be sampled with."""
    require_sde(sde)
    validate.function("score", score, "p.score")
    validate.cloud("x", x)
    grid = validate.times("times", times, sde.t_min, rising=rising)
    return grid, Recorder(x, len(grid) - 1, keep_every, label=grid[0], remedy="more times, or end at a later one")
