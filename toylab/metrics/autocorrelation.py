"""How long do the chains remember where they were?"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab.metrics.convergence import draws_of
from toylab.metrics.estimate import Estimate
from toylab.metrics.points import PointsLike

_SHOWN_LAGS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, eq=False, repr=False)
class Autocorrelation:
    """Autocorrelation at lags 0, 1, .., in frames.

    Attributes:
        values: mean over the chains, shape [lags + 1, 2], one column per coordinate; 1 at lag 0.
        standard_errors: of that mean, the chains being independent, shape [lags + 1, 2].
    """

    values: Tensor
    standard_errors: Tensor

    def __repr__(self) -> str:
        return text_table("Autocorrelation", self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("lag", f"{'x1':15s}x2")]
        for lag in (lag for lag in _SHOWN_LAGS if lag < len(self.values)):
            pair = zip(self.values[lag].tolist(), self.standard_errors[lag].tolist(), strict=True)
            rows.append((f"{lag}", "  ".join(f"{Estimate(value, error)}" for value, error in pair)))
        return rows


def autocorrelation(path: PointsLike, max_lag: int = 100) -> Autocorrelation:
    """Autocorrelation of each coordinate along the chains.

    Each chain's own mean is subtracted, so that short chains look less correlated than they are. On a Gaussian of
    variance v, Langevin has (1 - eps / (2 v))^lag.

    Args:
        path: chains of a run with ``keep_every``, or their path, shape [frames, n, 2], n >= 2.
        max_lag: in frames; at most frames - 1.

    Raises:
        ValueError: for fewer than 4 frames or 2 chains, chains that never moved, or a path with nan or inf.
    """
    from arviz_stats.base.array import array_stats  # loads slowly, and is needed only here and in convergence

    max_lag = validate.count("max_lag", max_lag, least=0)
    draws = draws_of(path)
    n_chains, n_frames = draws[0].shape
    if n_chains < 2:
        raise ValueError("path holds a single chain: an error bar needs at least 2.")
    for name, values in zip(("x1", "x2"), draws, strict=True):
        still = int((values == values[:, :1]).all(1).sum())
        if still:
            raise ValueError(
                f"{still} of {n_chains} chains never moved in {name}: they have no autocorrelation. Leave them out, as "
                "in path[:, moved]."
            )
    lags = min(max_lag, n_frames - 1) + 1
    by_chain = np.stack([np.asarray(array_stats.autocorr(a, axis=1))[:, :lags] for a in draws], -1)
    errors = by_chain.std(0, ddof=1) / n_chains**0.5
    return Autocorrelation(torch.as_tensor(by_chain.mean(0), device="cpu"), torch.as_tensor(errors, device="cpu"))
