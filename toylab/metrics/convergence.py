"""Have the chains forgotten where they started, and how many independent draws are they worth?

By ArviZ's statistics package; here only the shapes are turned round.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab.metrics.estimate import Estimate, mean_of
from toylab.samplers.chains import Chains
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


def convergence(path: Tensor, log_prob: LogProb | None = None) -> Convergence:
    """R-hat and effective sample sizes of recorded chains (Vehtari et al. 2021, arXiv:1903.08008).

    Args:
        path: ``Chains.path`` of a run with ``keep_every``, shape [frames, n, 2]; at least 4 frames, best without those
            of the way in.
        log_prob: log p, if its own convergence is wanted.

    Raises:
        ValueError: for fewer frames, or a path with nan or inf.
    """
    from arviz_stats.base import array_stats  # loads slowly, and is needed here alone

    draws, names = _draws(path, log_prob)
    r_hat, bulk, tail = (
        tuple(float(f(quantity)) for quantity in draws)
        for f in (
            lambda a: array_stats.rhat(a, chain_axis=0, draw_axis=1, method="rank"),
            lambda a: array_stats.ess(a, chain_axis=0, draw_axis=1, method="bulk"),
            lambda a: array_stats.ess(a, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)),
        )
    )
    return Convergence(names, r_hat, bulk, tail, draws[0].size)


@dataclass(frozen=True, eq=False)
class Autocorrelation:
    """Autocorrelation at lags 0, 1, .., in frames.

    Attributes:
        values: mean over the chains, shape [lags + 1, 2], a column a coordinate; 1 at lag 0.
        standard_errors: of that mean, the chains being independent, shape [lags + 1, 2].
    """

    values: Tensor
    standard_errors: Tensor


def autocorrelation(path: Tensor, max_lag: int = 100) -> Autocorrelation:
    """Autocorrelation of each coordinate along the chains.

    Each chain's own mean is taken off, so that short chains look less correlated than they are. On a Gaussian of
    variance v, Langevin has (1 - eps / (2 v))^lag.

    Args:
        path: shape [frames, n, 2], n >= 2.
        max_lag: in frames; at most frames - 1.
    """
    from arviz_stats.base import array_stats

    validate.count("max_lag", max_lag, least=0)
    draws, _ = _draws(path, None)
    if path.shape[1] < 2:
        raise ValueError("path holds a single chain: an error bar needs at least 2.")
    lags = min(max_lag, len(path) - 1) + 1
    by_chain = np.stack([np.asarray(array_stats.autocorr(a, axis=1))[:, :lags] for a in draws], -1)
    errors = by_chain.std(0, ddof=1) / len(by_chain) ** 0.5
    return Autocorrelation(torch.as_tensor(by_chain.mean(0)), torch.as_tensor(errors))


def acceptance(chains: Chains) -> Estimate:
    """The share of proposals accepted, mean over the chains; the error bar is that of independent chains.

    It tells whether the steps are too large (near 0) or too small (near 1), not whether the law is right: the wrong
    MALA of ``museum.mala_of_two_kernels`` accepts 97 %.
    """
    return mean_of(chains.acceptance)


def _draws(path: Tensor, log_prob: LogProb | None) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Arrays [chains, frames], one a quantity, with their names."""
    if not isinstance(path, Tensor) or path.ndim != 3 or path.shape[-1] != 2 or len(path) < 4:
        given = list(path.shape) if isinstance(path, Tensor) else type(path).__name__
        raise ValueError(f"path is {given}: give Chains.path [frames, n, 2] with 4 frames or more (keep_every=...).")
    if not bool(path.isfinite().all()):
        raise ValueError("path holds nan or inf: leave out the chains in Chains.diverged.")
    quantities = [*path.double().unbind(-1)] + ([] if log_prob is None else [log_prob(path).double()])
    names = ("x1", "x2") if log_prob is None else ("x1", "x2", "log p")
    return [quantity.T.detach().cpu().numpy() for quantity in quantities], names
