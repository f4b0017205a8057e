"""The reverse SDE by Heun's method: a second look at the drift from where a step leads, with the same noise."""

from functools import partial

import torch
from torch import Tensor

from toylab._internal.random import normal_like
from toylab.samplers.chains import Chains
from toylab.samplers.reverse_sde import reverse_drift
from toylab.samplers.sde_loop import follow_times
from toylab.samplers.step_arguments import check_arguments
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time


@check_arguments
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
    """The reverse SDE by Heun's method with one noise per step: its law is right to order 2, as g depends on t alone.

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
        The chains; two evaluations of the score per step. Some may have diverged; a warning says so. Ctrl-C returns
        what is done so far.
    """
    return follow_times(
        "reverse_sde_heun", partial(reverse_sde_heun_step, generator=generator), sde, score, x, times,
        keep_every=keep_every, progress=progress, generator=generator,
    )  # fmt: skip
