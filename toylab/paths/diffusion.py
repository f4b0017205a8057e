"""The path of a diffusion: an SDE run backwards, from its noise to the data."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from toylab.paths.gaussian import GaussianPath
from toylab.sde import SDE, require_sde


def of_sde(sde: SDE) -> GaussianPath:
    """The Gaussian path with the alpha and sigma of an SDE at its time 1 - (1 - t_min) t.

    It ends in data with a little noise, the law of the SDE at t_min: at its time 0 sigma' is infinite. Its velocity is
    -(1 - t_min) times that of the probability flow. x_0 is a draw of N(0, I), whatever the alpha at the SDE's time 1.

    Args:
        sde: such as ``VP()``.

    >>> from toylab.sde import VP
    >>> of_sde(VP()) == of_sde(VP())
    True
    """
    require_sde(sde)
    return GaussianPath(_Backwards(sde, "alpha"), _Backwards(sde, "sigma"))


@dataclass(frozen=True)
class _Backwards:
    """alpha or sigma of an SDE as a function of the time of a path."""

    sde: SDE
    part: Literal["alpha", "sigma"]

    def __call__(self, t: Tensor) -> Tensor:
        time = 1 - (1 - self.sde.t_min) * t
        return self.sde.alpha(time) if self.part == "alpha" else self.sde.sigma(time)
