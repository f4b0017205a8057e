"""Have the chains forgotten where they started, and how many independent draws are they worth?

Computed by ArviZ's statistics package, for which the shapes are rearranged here.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table
from toylab.metrics.evaluate import call_log_prob, callable_with, finite
from toylab.metrics.points import PointsLike, path_of
from toylab.score import LogProb


@dataclass(frozen=True)
class Convergence:
    """Diagnostics of a cloud of chains, for each coordinate and, if log p was given, for log p along the chains.

    Attributes:
        names: "x1", "x2" and perhaps "log p".
        r_hat: rank-normalised split R-hat: near 1 where all chains agree; above 1.01 they do not. It only knows what
            the chains have seen: all in one mode, they agree.
        ess: bulk effective sample size: what the mean is worth in independent draws.
        ess_tail: the same for the 5 % and 95 % quantiles.
        n_draws: frames times chains.
    """

    names: tuple[str, ...]
    r_hat: tuple[float, ...]
    ess: tuple[float, ...]
    ess_tail: tuple[float, ...]
    n_draws: int

    def __str__(self) -> str:
        lines = [f"{self.n_draws} draws", "         R-hat       ESS  tail ESS"]
        rows = zip(self.names, self.r_hat, self.ess, self.ess_tail, strict=True)
        return "\n".join([*lines, *(f"{name:6s} {r:7.3f} {bulk:9.0f} {tail:9.0f}" for name, r, bulk, tail in rows)])

    def _repr_html_(self) -> str:
        rows = zip(self.names, self.r_hat, self.ess, self.ess_tail, strict=True)
        shown = [(name, f"R-hat {r:.3f}, ESS {bulk:.0f}, tail ESS {tail:.0f}") for name, r, bulk, tail in rows]
        return html_table([("draws", f"{self.n_draws}"), *shown])


def convergence(path: PointsLike, log_prob: LogProb | None = None) -> Convergence:
    """R-hat and effective sample sizes of recorded chains (Vehtari et al. 2021, arXiv:1903.08008).

    Args:
        path: chains of a run with ``keep_every``, or their path, shape [frames, n, 2]; n >= 2, at least 4 frames, best
            hundreds, without the warm-up. A few frames know nothing of a longer memory.
        log_prob: log p, if its own convergence is wanted.

    Raises:
        ValueError: for a single chain, fewer frames, chains that never moved, or a path with nan or inf.
    """
    from arviz_stats.base.array import array_stats  # loads slowly, and is needed only here and in autocorrelation

    draws = draws_of(path, log_prob)
    if len(draws[0]) < 2:
        raise ValueError(
            "path holds a single chain: R-hat compares chains. Run several at once, from a start of shape [n, 2]; or "
            "compare the halves of this one: torch.cat(path.chunk(2), 1), of an even number of frames."
        )
    names = ("x1", "x2", "log p")[: len(draws)]
    for name, values in zip(names, draws, strict=True):
        if (values == values[:, :1]).all():
            raise ValueError(
                f"no chain ever moved in {name}: R-hat and effective sample sizes are of chains that move. A sampler "
                "that refuses every proposal may have started where log p is -inf, or takes too large a step."
            )
    return Convergence(
        names=names,
        r_hat=tuple(float(array_stats.rhat(a, chain_axis=0, draw_axis=1, method="rank")) for a in draws),
        ess=tuple(float(array_stats.ess(a, chain_axis=0, draw_axis=1, method="bulk")) for a in draws),
        ess_tail=tuple(
            float(array_stats.ess(a, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))) for a in draws
        ),
        n_draws=draws[0].size,
    )


def draws_of(path: PointsLike, log_prob: LogProb | None = None) -> list[np.ndarray]:
    """x1, x2 and, if asked for, log p along a path of at least 4 frames, each an array [chains, frames]."""
    frames = path_of(path)
    if log_prob is not None:
        validate.function("log_prob", log_prob, "p.log_prob")
        callable_with("log_prob", log_prob, "x")
    if not isinstance(frames, Tensor) or frames.ndim != 3 or frames.shape[-1] != 2 or len(frames) < 4:
        given = list(frames.shape) if isinstance(frames, Tensor) else type(frames).__name__
        raise ValueError(
            f"path is {given}: give chains with 4 frames [n, 2] or more, run with keep_every=1. Fewer show no memory."
        )
    if not bool(frames.isfinite().all()):
        raise ValueError(
            "path holds nan or inf: leave out the chains in Chains.diverged, as in chains.path[:, ~chains.diverged]."
        )
    quantities = [*frames.unbind(-1)] + (
        [] if log_prob is None else [finite("log_prob", call_log_prob(log_prob, frames), frames)]
    )
    return [quantity.detach().cpu().double().T.numpy() for quantity in quantities]
