"""The weighting with which a noise-conditional loss bounds -log p, and the levels at which to draw it."""

from dataclasses import dataclass

from torch import Tensor

from toylab.objectives.levels import LogUniform
from toylab.sde import SDE, require_sde


@dataclass(frozen=True)
class LikelihoodWeighting:
    """lambda(sigma) = g(t)^2 / alpha(t)^2 at the time t whose level sigma(t) / alpha(t) is sigma: g^2 for plain noise.

    A score s(x, sigma) of plain noise is s_t(x) = s(x / alpha; sigma / alpha) / alpha at time t, so that the weight
    g(t)^2 of 1/2 |s_t - grad log p_t|^2 is g^2 / alpha^2 on that of s. Since f cancels, it is how fast the variance of
    the noise grows, d(level^2)/dt:

        VE      2 log(sigma_max / sigma_min) level^2
        VP      beta(t) (1 + level^2)
        sub-VP  2 beta(t) level sqrt(1 + level^2 / 4)

    With it, 1 - t_min times the mean of ``NoiseConditional(UniformTimes(sde), weighting)`` plus its offset is the
    integral in ``metrics.likelihood_bound``. ``likelihood_levels`` give the same integral with less noise.
    Source: Song, Durkan, Murray & Ermon 2021 (arXiv:2101.09258), section 4.1.

    Args:
        sde: ``VE()``, ``VP()``, ``SubVP()``, or another with a ``time_of(level)``.

    >>> import torch
    >>> from toylab.sde import VE
    >>> LikelihoodWeighting(VE(0.01, 1.0))(torch.tensor([0.1, 0.5]))  # 9.21 level^2
    tensor([0.0921, 2.3026])
    """

    sde: SDE

    def __post_init__(self) -> None:
        require_sde(self.sde)
        if not callable(getattr(self.sde, "time_of", None)):
            raise TypeError(
                f"sde is a {type(self.sde).__name__} without time_of(level), the t at which sigma(t) / alpha(t) is the "
                "level: define it, or take likelihood_levels(sde), which need none."
            )

    def __call__(self, sigma: Tensor | float) -> Tensor:
        """lambda at the levels sigma, > 0, which must lie between those of t = 0 and t = 1; shape of sigma.

        Raises:
            ValueError: for a level that no time in [0, 1] has.
        """
        t: Tensor = self.sde.time_of(sigma)  # type: ignore[attr-defined]
        return (self.sde.diffusion(t) / self.sde.alpha(t)) ** 2


def likelihood_levels(sde: SDE) -> LogUniform:
    """The importance-sampled levels of maximum likelihood: log-uniform between those of t_min and of t = 1.

    The loss of denoising at a level is about 1 / level^2, most of it the noise of its target. Times drawn with a
    probability like g^2 / sigma^2, that is lambda / level^2, weigh that away; and since lambda dt = d(level^2), such
    levels are log-uniform for every SDE, and the weighting that is left is level^2, the default:

        NoiseConditional(likelihood_levels(sde))

    2 log(high / low) times its mean plus its offset is the integral in ``metrics.likelihood_bound``, as
    int J d(level^2) = 2 log(high / low) E[level^2 J]. So that loss is maximum likelihood for every SDE with these ends.
    Source: Song et al. 2021 (arXiv:2101.09258), section 4.2 ("importance weighting"); Kingma et al. 2021
    (arXiv:2107.00630), section 5.1, for the invariance.

    Args:
        sde: such as ``VP()``; its t_min must have noise.

    Raises:
        ValueError: if the level is 0 at t_min: give t_min > 0.
    """
    require_sde(sde)
    low, high = (float(sde.sigma(t) / sde.alpha(t)) for t in (sde.t_min, 1.0))
    if not low > 0:
        raise ValueError(
            f"sde has noise of level {low} at t_min = {sde.t_min}, and log-uniform levels end above 0: give t_min > 0, "
            "for example 0.001."
        )
    return LogUniform(low, high)
