"""What an SDE has to offer to its users."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from toylab.densities.density import Density

Time = Tensor | float  # a number, or a tensor of times


@runtime_checkable
class SDE(Protocol):
    """What the samplers require of an SDE; VE, VP and SubVP have it, and so may a class of your own.

    Times are numbers, or tensors of them; a number gives a tensor of shape [] in float64.
    """

    @property
    def t_min(self) -> float:
        """The time at which sampling ends and likelihoods begin, 0 <= t_min < 1."""
        ...

    @property
    def prior(self) -> Density:
        """What the reverse runs start from: a law near that of x_1, whatever the data."""
        ...

    def alpha(self, t: Time) -> Tensor:
        """The factor by which x_0 is scaled, > 0; shape of t."""
        ...

    def sigma(self, t: Time) -> Tensor:
        """The standard deviation of the noise in x_t; shape of t."""
        ...

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """f(t) x at the points x [..., 2]; t a number, or one time per point [...]."""
        ...

    def diffusion(self, t: Time) -> Tensor:
        """g(t) >= 0; shape of t."""
        ...


_PARTS = ("alpha", "sigma", "drift", "diffusion", "prior", "t_min")


def require_sde(sde: SDE) -> SDE:
    """Return ``sde``, or raise ``TypeError`` unless it has all that samplers ask for."""
    # looked up on the class first, where a property is not computed: samplers ask this at every step
    if isinstance(sde, type) or not all(hasattr(type(sde), part) or hasattr(sde, part) for part in _PARTS):
        given = f"the class {sde.__name__}" if isinstance(sde, type) else f"a {type(sde).__name__}"
        raise TypeError(
            f"sde is {given}: give an SDE such as VE(), VP() or SubVP(), or an object with alpha, sigma, drift, "
            "diffusion, prior and t_min."
        )
    return sde
