"""A weighting that never falls as the noise grows, as a mixture of ELBOs of data to which noise was added first."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.objectives.levels import LogUniform, Weight, check_weighting, weights_at
from toylab.sde.times import level_tensor

_N_LOOKED_AT = 2001
_ROUNDING = 1e-9  # of the largest weight: no fall


@dataclass(frozen=True)
class ElboMixture:
    """int w(l) J(l) d(l^2) = w(high) E B(L), with P(L <= sigma) = w(sigma) / w(high): a weighted loss is many ELBOs.

    J is the Fisher divergence at a level l. B(sigma) = int J(l) d(l^2) from sigma to high has w = 1: it is what the
    ELBO loses on data to which noise of size sigma was added first, and with the prior's error it bounds
    KL(p_sigma || q_sigma). So a weighting that never falls as the noise grows is the cumulative distribution of the
    size of noise to add. By parts, since B(high) = 0,

        int w J d(l^2) = w(low) B(low) + int B(sigma) w'(sigma) d sigma,    both from low to high.

    w is relative to likelihood. The loss that has it is

        NoiseConditional(levels, lambda sigma: sigma**2 * w(sigma)),

    whose mean plus offset is the left side divided by 2 log(high / low). At the uniform times of an SDE the weight is
    w times ``LikelihoodWeighting(sde)``. In the source w is a function of the log-SNR, log(1 / sigma^2).
    Source: Kingma & Gao 2023 (arXiv:2303.00848), theorem 1.

    Args:
        weighting: w, a function of the levels [n] that gives one number for each, or one number for all. It must be
            written in torch and be continuous: at a jump L has an atom, which ``density`` does not show.
        levels: from low to high, such as ``likelihood_levels(sde)``.

    Raises:
        ValueError: if w falls between low and high, or is negative or not finite.

    >>> mixture = ElboMixture(lambda sigma: sigma**2 / (sigma**2 + 1), LogUniform(0.01, 100.0))
    >>> round(float(mixture.cdf(1.0)), 4)  # half of this loss is about data with noise of at most 1
    0.5
    """

    weighting: Weight
    levels: LogUniform

    def __post_init__(self) -> None:
        if not isinstance(self.levels, LogUniform):
            raise TypeError(
                f"levels is a {type(self.levels).__name__}: give LogUniform(low, high), such as likelihood_levels(sde)."
            )
        vars(self).update(weighting=check_weighting(self.weighting))
        self._require_rising()

    def cdf(self, sigma: Tensor | float) -> Tensor:
        """P(L <= sigma) = w(sigma) / w(high); shape of sigma.

        At ``levels.low`` it is the share of the ELBO of the data themselves; below it is 0, and from high on 1.
        """
        level = level_tensor(sigma)
        low, high = self.levels.low, self.levels.high
        share = self._w(level.clamp(low, high)) / self._w(level.new_tensor(high))
        return torch.where(level < low, 0.0, share).detach()

    def density(self, sigma: Tensor | float) -> Tensor:
        """w'(sigma) / w(high) by autograd: of L between low and high, and 0 elsewhere; shape of sigma."""
        with torch.inference_mode(False), torch.enable_grad():
            level = level_tensor(sigma).detach().clone().requires_grad_()
            w = self._w(level)
            slope = torch.autograd.grad(w.sum(), level)[0] if w.requires_grad else torch.zeros_like(level)
        low, high = self.levels.low, self.levels.high
        share = slope / self._w(level.new_tensor(high))
        return torch.where((level < low) | (level > high), 0.0, share).detach()

    def _w(self, level: Tensor) -> Tensor:
        """One weight per level."""
        weights = weights_at(self.weighting, level)
        return (weights.to(level) if isinstance(weights, Tensor) else level.new_tensor(weights)).expand(level.shape)

    def _require_rising(self) -> None:
        low, high = math.log10(self.levels.low), math.log10(self.levels.high)
        levels = torch.logspace(low, high, _N_LOOKED_AT, dtype=torch.float64, device="cpu")
        w = self._w(levels).detach()
        good = w.isfinite() & (w >= 0) & (w.max() > 0)
        if not bool(good.all()):
            k = int(good.long().argmin())
            raise ValueError(
                f"the weighting gives {float(w[k]):.4g} at the level {float(levels[k]):.4g}: the shares of a mixture "
                "must be finite, not negative, and not all 0."
            )
        most = w.cummax(0)
        fall = most.values - w
        if float(fall.max()) > _ROUNDING * float(w.max()):
            k = int(fall.argmax())
            peak = int(most.indices[k])
            raise ValueError(
                f"the weighting falls from {float(w[peak]):.4g} at the level {float(levels[peak]):.4g} to "
                f"{float(w[k]):.4g} at {float(levels[k]):.4g}: there an ELBO would count negatively. Relative to "
                "likelihood it must not fall as the noise grows: keep it at its largest value from there on."
            )
