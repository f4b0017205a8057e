"""The states that a film of a diffusion shows: the probability flow from one start under several scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import home
from toylab._internal.display import short
from toylab.densities import Density
from toylab.experiments.flow_state import EXTENT, FlowState, flow_state
from toylab.metrics import Extent
from toylab.samplers import probability_flow, rk4_step
from toylab.schedules import uniform
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, require_sde

_STEPS = 4  # of the flow, by RK4, from frame to frame


@dataclass(frozen=True, eq=False)
class Film:
    """What the slider moves through.

    Attributes:
        times: falling from 1, one per frame.
        columns: by name, the states at these times.
        extent: the square that is shown.
    """

    times: tuple[float, ...]
    columns: dict[str, tuple[FlowState, ...]]
    extent: Extent


def record_film(
    sde: SDE,
    scores: Mapping[str, Density | tuple[NoiseConditionalScore, Density | None]] | Density,
    *,
    n_frames: int = 41,
    n_paths: int = 60,
    extent: Extent = EXTENT,
    generator: torch.Generator | None = None,
) -> Film:
    """Follow the probability flow from one start under each score, and record the state at each frame.

    Args:
        sde: such as ``VP()``.
        scores: by name, a density, whose score it is, or a score s(x, sigma) and the density that is drawn with it,
            None if none is known: {"exact": p, "empirical": data, "learned": (network, None)}. A density alone is
            "exact".
        n_frames: from t = 1 to ``sde.t_min``, or 0.001 if that is later, evenly in the root of t, so that the end is
            seen slowly.
        n_paths: points that flow.
        extent: the square that is shown.
        generator: draws the start; None is torch's global stream.
    """
    require_sde(sde)
    n_frames = validate.count("n_frames", n_frames, least=2)
    n_paths = validate.count("n_paths", n_paths)
    pairs = _pairs(scores)
    start = sde.prior.sample((n_paths,), generator=generator)
    times = (uniform(1.0, max(sde.t_min, 1e-3) ** 0.5, n_frames).double() ** 2).tolist()
    columns = {
        name: _column(sde, score, density, start.to(home(score) or start.device), times, extent)
        for name, (score, density) in pairs.items()
    }
    return Film(tuple(times), columns, extent)


def _pairs(
    scores: Mapping[str, Density | tuple[NoiseConditionalScore, Density | None]] | Density,
) -> dict[str, tuple[NoiseConditionalScore, Density | None]]:
    """By name, each score and its density."""
    if isinstance(scores, Density):
        scores = {"exact": scores}
    if not isinstance(scores, Mapping):
        raise TypeError(f"scores is a {type(scores).__name__}: give a density p, or a dict, such as {{'exact': p}}.")
    if not scores:
        raise ValueError("scores is empty: give at least one, such as {'exact': p}.")
    pairs = {name: (given.score, given) if isinstance(given, Density) else given for name, given in scores.items()}
    for name, pair in pairs.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"scores[{name!r}] is {short(pair)}: give (score, density), such as (network, None), or a density."
            )
        validate.score(f"scores[{name!r}][0]", pair[0], of_sigma=True)
    return pairs


def _column(
    sde: SDE, score: NoiseConditionalScore, density: Density | None, x: Tensor, times: list[float], extent: Extent
) -> tuple[FlowState, ...]:
    """The states of one score, whose flow starts in x at the first time."""
    states = [flow_state(sde, score, density, x, times[0], extent)]
    for before, t in zip(times, times[1:], strict=False):
        steps = uniform(before, t, _STEPS + 1)
        x = probability_flow(sde, score, x, steps, step=rk4_step, progress=False).samples
        states.append(flow_state(sde, score, density, x, t, extent))
    return tuple(states)
