"""Predictor and corrector: steps of the reverse SDE, each followed by Langevin dynamics at the time it reached."""

import math

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.samplers.chains import Chains
from toylab.samplers.langevin import langevin_step
from toylab.samplers.reverse_sde import reverse_sde_step
from toylab.samplers.sde_loop import follow_times
from toylab.samplers.step_arguments import check_arguments
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time, score_at


@check_arguments
def corrector_step(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, snr: float, *, generator: torch.Generator | None = None
) -> Tensor:
    """A step of Langevin on p_t, x' = x + eps/2 s_t(x) + sqrt(eps) z, with eps from a signal-to-noise ratio.

    eps = 4 (snr E|z| / |s_t|)^2, E|z| = sqrt(pi/2) in the plane and |s_t| the mean over all chains of the norm of the
    score, those not finite left out. In the paper's convention, x + e s + sqrt(2 e) z, that is
    e = 2 (snr |z| / |s|)^2. There |z| is the norm of the step's own noise, which its code averages over the chains:
    with many chains that is the same, and with few the noise would choose its own step. For VP the paper's e has one
    more factor, 1 - beta dt, which goes to 1 as the times get close.
    """
    here = score_at(sde, score, t)(x)
    norms = here.norm(dim=-1)
    finite = norms.isfinite()
    mean = norms.where(finite, 0.0).sum() / finite.sum()  # indexing with a mask would wait for the GPU
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

    The step of a correction is set by ``snr`` (see ``corrector_step``): about 4 snr^2 sigma^2 where x is mostly
    noise. Its own bias does not vanish with more times, only with a smaller snr: alone, and at rest, it would give a
    normal law of variance v the variance v (1 + snr^2). The chains share its step, and so are not quite independent.
    Source: Song et al. 2021 (arXiv:2011.13456), algorithms 2 to 5; snr = 0.16 is theirs for VE.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the chains start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 501)``.
        snr: signal-to-noise ratio r > 0 of a correction.
        n_corrections: corrections per step.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; 1 + n_corrections evaluations of the score per step. Some may have diverged; a warning says so.
        Ctrl-C returns what is done so far.
    """
    snr = validate.positive("snr", snr)
    n_corrections = validate.count("n_corrections", n_corrections)

    def step(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time) -> Tensor:
        x = reverse_sde_step(sde, score, x, t, u, generator=generator)
        for _ in range(n_corrections):
            x = corrector_step(sde, score, x, u, snr, generator=generator)
        return x

    return follow_times(
        "predictor_corrector", step, sde, score, x, times,
        keep_every=keep_every, progress=progress, generator=generator,
    )  # fmt: skip
