"""Reflected Langevin dynamics: a step of Langevin, folded back at the walls of a box."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.samplers.chains import Chains
from toylab.samplers.langevin import langevin_step
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.samplers.step_arguments import check_arguments
from toylab.samplers.step_sizes import StepSize, step_sizes
from toylab.score import Score

Corner = Tensor | Sequence[float]


@check_arguments
def reflected_langevin_step(
    score: Score,
    x: Tensor,
    step_size: float | Tensor,
    *,
    low: Corner,
    high: Corner,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x' = R(x + eps/2 s(x) + sqrt(eps) z), R the reflection at the walls of the box with the corners low and high.

    Corners and x as for ``reflected_langevin``.
    """
    low, high = validate.box(low, high, validate.points("x", x))
    y = langevin_step(score, x, step_size, generator=generator)
    return torch.stack([_fold(y[..., k], low[k], high[k]) for k in range(2)], -1)


def _fold(y: Tensor, low: float, high: float) -> Tensor:
    """y reflected at low and at high until it lies between: a triangular wave in y. A wall may be infinitely far."""
    if high == math.inf:
        return torch.where(y < low, 2 * low - y, y)
    if low == -math.inf:
        return torch.where(y > high, 2 * high - y, y)
    width = high - low
    folded = low + (width - ((y - low).remainder(2 * width) - width).abs())
    return torch.where((y >= low) & (y <= high), y, folded.clamp(low, high))  # clamped, for the sake of rounding


@torch.no_grad()
def reflected_langevin(
    score: Score,
    x: Tensor,
    *,
    low: Corner,
    high: Corner,
    step_size: StepSize,
    n_steps: int,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Langevin in a box: n_steps of x' = R(x + eps/2 s(x) + sqrt(eps) z), with what crosses a wall reflected at it.

    Plain Langevin knows of no wall: it walks out of the box, where the density is 0. This is the Euler scheme of the
    diffusion that is reflected at the walls, whose law in the long run is p. On a uniform law, s = 0, it is exact at
    any step size; on others it has a bias that vanishes like eps, as Langevin has.

    Source: Bubeck, Eldan & Lehec 2015 (arXiv:1507.02564) for sampling by the reflected diffusion; but their chain
    *projects* what crosses a wall onto it, which leaves a share of the points on the walls and a bias like sqrt(eps).
    Reflecting is Bossy, Gobet & Talay 2004 (J. Appl. Probab. 41, 877-889), who prove the order eps.

    Args:
        score: s, exact or learned; it is asked inside the box only.
        x: where the chains start, shape [n, 2], in the box.
        low: the lower left corner of the box, two numbers; -inf is a side without a wall.
        high: the upper right corner, two numbers; inf is a side without a wall.
        step_size: eps > 0, or a schedule: a function of the step 0, 1, .. n_steps - 1.
        n_steps: number of steps.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains. Some may have diverged; a warning says so. Ctrl-C returns what is done so far.

    Raises:
        ValueError: if low is not below high, or a chain starts outside the box.

    >>> from toylab.densities import Square
    >>> g = torch.Generator().manual_seed(0)
    >>> chains = reflected_langevin(Square().score, torch.zeros(1000, 2), low=(-1, -1), high=(1, 1), step_size=0.5,
    ...                             n_steps=50, generator=g)
    >>> bool((chains.samples.abs() <= 1).all())
    True
    """
    validate.score("score", score)
    validate.finite_cloud("x", x)
    low, high = validate.box(low, high, x)
    outside = int((~((x >= x.new_tensor(low)) & (x <= x.new_tensor(high))).all(-1)).sum())
    if outside:
        raise ValueError(
            f"x holds {outside} points outside the box from {low} to {high}, of {len(x)}: start inside, for example "
            "from uniform_start(n, (left, right, bottom, top))."
        )
    sizes = step_sizes(step_size, n_steps)
    counted, recorder = CountingScore(score), Recorder(x, n_steps, keep_every)

    def step(x: Tensor, eps: float) -> Tensor:
        return reflected_langevin_step(counted, x, eps, low=low, high=high, generator=generator)

    x = follow(
        "reflected_langevin", [Leg(step, sizes)], x, recorder,
        uses=[score], generator=generator, counter=counted, progress=progress,
    )  # fmt: skip
    return recorder.chains(x, counted.n, score=counted, in_box=True)
