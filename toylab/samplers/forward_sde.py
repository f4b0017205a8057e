"""The forward SDE: from data to noise, by small steps."""

from itertools import pairwise

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.samplers.chains import Chains
from toylab.samplers.loop import Leg, Recorder, follow
from toylab.sde import SDE, Time, require_sde


def forward_sde_step(sde: SDE, x: Tensor, t: Time, u: Time, *, generator: torch.Generator | None = None) -> Tensor:
    """x' = x + f(t) x h + g(t) sqrt(h) z, from time t to u = t + h: a step of Euler-Maruyama."""
    h = u - t
    return x + h * sde.drift(x, t) + h**0.5 * sde.diffusion(t).to(x) * normal_like(x, generator)


@torch.no_grad()
def forward_sde(
    sde: SDE,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Follow dx = f(t) x dt + g(t) dw along rising times, by Euler-Maruyama.

    It shows how data turn into noise. It is not needed to draw x_t: x_t = alpha x_0 + sigma z is exact. At t = 0 the
    points should be draws of the law at that time: of the data for VP, of the data noised by sigma_min for VE.
    Source: Song et al. 2021 (arXiv:2011.13456), eq. 5.

    Args:
        sde: such as ``VE()``, ``VP()``.
        x: draws of the law at times[0], shape [n, 2].
        times: 1-D, strictly rising, in [0, 1], such as ``schedules.uniform(1.0, 0.0, 501).flip(0)``.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; no score is evaluated. Ctrl-C returns what is done so far.
    """
    require_sde(sde)
    validate.finite_cloud("x", x)
    grid = validate.times("times", times, 0.0, rising=True)
    recorder = Recorder(x, len(grid) - 1, keep_every, label=grid[0], remedy="more times")

    def step(x: Tensor, times: tuple[float, float]) -> Tensor:
        return forward_sde_step(sde, x, *times, generator=generator)

    leg = Leg(step, list(pairwise(grid)), grid[1:])
    x = follow("forward_sde", [leg], x, recorder, uses=[sde], generator=generator, progress=progress)
    return recorder.chains(x, 0)
