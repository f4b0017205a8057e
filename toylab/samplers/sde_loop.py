"""What the samplers that follow an SDE, its probability flow or a velocity along a grid of times have in common."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.samplers.chains import Chains
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time, require_sde

SDEStep = Callable[[SDE, NoiseConditionalScore, Tensor, Time, Time], Tensor]
"""step(sde, score, x, t, u): from points x [n, 2] at time t to points at time u."""


def follow_times(
    name: str,
    step: SDEStep,
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None,
    progress: bool,
    generator: torch.Generator | None = None,
    rising: bool = False,
    uses: tuple[object, ...] = (),
) -> Chains:
    """Check the arguments, and take a step from each time to the next.

    Args:
        name: of the sampler, for its messages.
        step: from one time to the next; it draws from ``generator`` alone.
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), which is counted.
        x: where the chains start, shape [n, 2].
        times: 1-D, strictly falling in [sde.t_min, 1].
        keep_every: keep every so-many-th frame, its label the time; None keeps no path.
        progress: show a progress bar when it takes long.
        generator: what the steps draw from.
        rising: whether the times rise instead.
        uses: other functions of the user's that the step calls.
    """
    require_sde(sde)
    validate.score("score", score, of_sigma=True)
    validate.finite_cloud("x", x)
    grid = validate.times("times", times, sde.t_min, rising=rising)
    counted = CountingScore(score)
    recorder = Recorder(x, len(grid) - 1, keep_every, label=grid[0], remedy="more times, or end at a later one")
    x = follow_grid(
        name, lambda x, t, u: step(sde, counted, x, t, u), x, grid, recorder, counted,
        uses=(sde, score, *uses), generator=generator, progress=progress,
    )  # fmt: skip
    return recorder.chains(x, counted.n, score=counted)


def follow_grid(
    name: str,
    step: Callable[[Tensor, Time, Time], Tensor],
    x: Tensor,
    grid: list[float],
    recorder: Recorder,
    counted: CountingScore[...],
    *,
    uses: tuple[object, ...],
    progress: bool,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Take a step(x, t, u) from each time t of a grid to the next, u; record the points, and return the last."""
    leg = Leg(lambda x, times: step(x, *times), list(pairwise(grid)), grid[1:])
    return follow(
        name, [leg], x, recorder, uses=uses, generator=generator, counter=counted, progress=progress
    )  # fmt: skip


def is_rising(times: Tensor) -> bool:
    """Whether a grid ends at a later time than it begins; False of what is no grid, which is then refused."""
    return (
        isinstance(times, Tensor)
        and times.ndim == 1
        and len(times) > 1
        and times.is_floating_point()
        and bool(times[-1] > times[0])
    )
