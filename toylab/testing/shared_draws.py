"""Random numbers that serve several points of a batch: right in the mean over batches, but not one loss per point.

Standard errors are those of independent losses, and would be too small by far. At one point, repeated, the losses of a
batch are independent if each has numbers of its own: then the mean of a batch varies 1/n as much as its losses do.
"""

from collections.abc import Callable

import torch
from scipy.special import chdtri
from torch import Tensor

from toylab.score import NoiseConditionalScore
from toylab.testing.estimate import FALSE_ALARM
from toylab.testing.expansion import target_of
from toylab.testing.report import Finding
from toylab.testing.run import Draws
from toylab.testing.truth import FIRST, SWIRL, Losses, Truth, fields

_N, _N_BATCHES = 200, 24
_MOST_RATIO = float(chdtri(_N_BATCHES - 1, FALSE_ALARM)) / (_N_BATCHES - 1)  # 3.4, of two equal variances
_SAME = 1e-12  # relative: of rounding, which may differ along a batch
_NORMAL = "torch.randn(x.shape, generator=generator)"


def check_shared(
    losses_with: Callable[[int], Losses],
    exact: NoiseConditionalScore,
    x: Tensor,
    draws: Draws,
    truth: Truth | None = None,
) -> Finding:
    """Each point has random numbers of its own.

    Shared ones show in the variance of the means of batches, if more than three points share them, and as equal losses
    where random numbers are continuous, if any do.

    Args:
        losses_with: the losses by seed.
        exact: the true field.
        x: points, shape [n, 2], of which the first will do.
        draws: where seeds come from.
        truth: what the loss should be, if it is one of a score: for the words.
    """
    name, point = "random numbers", x[:1].repeat(_N, 1)

    def field(y: Tensor, level: Tensor | float, /) -> Tensor:  # one of which no symmetry hides what is drawn
        others = fields(y, 0.0)
        return 0.5 * exact(y, level) + others[FIRST] + others[SWIRL]

    own = Draws(draws.density, draws.seed + 1)  # so that all else is as without this look
    seeds = [own.fresh() for _ in range(_N_BATCHES)]
    found = torch.stack([losses_with(seed)(field, point) for seed in seeds])
    between, within = float(found.mean(1).var()), float(found.var(1).mean()) / _N
    together = between > max(_MOST_RATIO * within, _SAME * float(found.square().mean()))
    in_each, in_all = sum(_distinct(row) for row in found), _distinct(found.flatten())
    equal = _N_BATCHES < in_each < 0.75 * found.numel() and in_all > 0.9 * in_each
    if not (together or equal):
        return Finding(name, True, "each point has its own")
    if truth is None:
        return shared(name, "one set of random numbers serves", _NORMAL)
    return shared(name, *_named([losses_with(seed) for seed in seeds[:2]], truth, point))


def shared(check: str, what: str, remedy: str) -> Finding:
    """The finding that something, such as "one time serves", is shared by all points of a batch."""
    return Finding(
        check,
        False,
        f"{what} all points of a batch: the loss may be right in the mean over many batches, which cannot be told from "
        f"these, and its gradient varies more than it must. Draw one for each point, {remedy}",
        undecided=True,
    )


def _named(losses: list[Losses], truth: Truth, point: Tensor) -> tuple[str, str]:
    """What is shared, and how it is drawn for each point; from the losses of two seeds."""
    first, second = (target_of(of_seed, truth, point) for of_seed in losses)
    z = first.slope[:, 0] * first.levels / truth.weights(first.levels)
    n_draws, found = _distinct(z), []
    if truth.single is None and _distinct(first.levels) == _distinct(second.levels) == 1:
        found.append(("one level sigma", "torch.randint(len(sigmas), x.shape[:1], generator=generator)"))
    if truth.least == 0:
        found.append(("one direction v", _NORMAL))
    elif n_draws < len(z) and bool((z != 0).any()):
        found.append(("one draw of the noise z" if n_draws == 1 else f"{n_draws} draws of the noise z", _NORMAL))
    what, remedies = zip(*found or [("one set of random numbers", _NORMAL)], strict=True)
    one = len(what) == 1 and what[0].startswith("one")
    return f"{' and '.join(what)} {'serves' if one else 'serve'}", " and ".join(remedies)


def _distinct(values: Tensor) -> int:
    """The number of different values among those of a tensor [n], to rounding."""
    ordered = values.sort().values
    return 1 + int((ordered.diff() > _SAME * ordered.abs().max()).sum())
