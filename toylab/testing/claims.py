"""What a sampler may claim to be, and hence how ``check_sampler`` calls it and which law it must have."""

from dataclasses import dataclass

from torch import Tensor

from toylab._internal import validate
from toylab.sde import SDE, require_sde


@dataclass(frozen=True)
class Invariant:
    """A chain that keeps p exactly, such as one with accept and reject: called as sampler(p, x, g).

    x are n points of p, and so must be what it returns. It is repeated until chains forget where they started, so
    that one step per call is enough; of one step the check can also see what was proposed and what was accepted. The
    laws have standard deviations from 0.5 to 1.2: take steps as for those.
    """


@dataclass(frozen=True)
class Langevin:
    """``n_steps`` of x' = x + eps/2 s(x) + sqrt(T eps) z, called as sampler(p, x, g). Its law is not quite p^(1/T).

    Where a text writes x + tau s + sqrt(2 tau) z, eps is 2 tau. The laws are as wide as the steps are long.

    Args:
        step_size: eps > 0.
        n_steps: steps per call. One tells most.
        temperature: T > 0.
    """

    step_size: float
    n_steps: int = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        vars(self).update(
            step_size=validate.positive("step_size", self.step_size),
            n_steps=validate.count("n_steps", self.n_steps),
            temperature=validate.positive("temperature", self.temperature),
        )


@dataclass(frozen=True, eq=False)
class AnnealedLangevin:
    """Langevin on p_sigma at each of the levels, in steps eps (sigma_i / sigma_L)^2: called as sampler(p, x, g).

    Args:
        sigmas: the levels sigma_1 > .. > sigma_L, shape [L].
        step_size: eps > 0, the step at the last level.
        n_steps: steps per level: few, such as 1, as many forget what the levels before did.
    """

    sigmas: Tensor
    step_size: float
    n_steps: int

    def __post_init__(self) -> None:
        validate.levels("sigmas", self.sigmas)
        vars(self).update(
            step_size=validate.positive("step_size", self.step_size),
            n_steps=validate.count("n_steps", self.n_steps),
        )


@dataclass(frozen=True)
class ReverseSDE:
    """Back along dx = [f x - g^2 s_t(x)] dt + g dw, called as sampler(p, x, times, g): from times[0] to times[-1].

    Any method will do whose error falls with the steps, to order 1 or more. The times fall evenly from 1 to sde.t_min;
    a sampler that makes its own takes len(times) - 1 steps.

    Args:
        sde: gives f, g, alpha and sigma; ``check_sde`` tells whether they belong together.
    """

    sde: SDE

    def __post_init__(self) -> None:
        require_sde(self.sde)


@dataclass(frozen=True)
class ProbabilityFlow:
    """Back along dx = [f x - g^2/2 s_t(x)] dt, without noise, called as sampler(p, x, times, g), as ``ReverseSDE``.

    Args:
        sde: gives f, g, alpha and sigma.
    """

    sde: SDE

    def __post_init__(self) -> None:
        require_sde(self.sde)


@dataclass(frozen=True)
class Posterior:
    """Draws of X given A X + noise Z = y, X of law p and Z ~ N(0, I): called as sampler(p, A, y, noise, x, times, g).

    A [1, 2] and y [1] are tensors and noise is a number, as in ``p.given(A, y, noise)``, to which the ends are held; x
    are n draws of that at times[0], where y hardly matters, and the times fall evenly from 1 to sde.t_min. Any method
    will do whose error falls with the steps, to order 1 or more, or that takes none. One that makes its own times takes
    len(times) - 1 steps, one that makes its own starts gives len(x) points (a flow had better not: it keeps what is
    wrong with them). One of ours is wrapped in a line:

        lambda p, A, y, noise, x, times, g: reverse_sde(sde, dps(p.score, A, y, noise), x, times, generator=g)

    Args:
        sde: gives alpha and sigma; the laws are as wide as the middle of its levels.
        n_steps: of a first run. A second one takes four times as many, and tells what the steps themselves get wrong.
    """

    sde: SDE
    n_steps: int = 32

    def __post_init__(self) -> None:
        require_sde(self.sde)
        vars(self).update(n_steps=validate.count("n_steps", self.n_steps))


Claim = Invariant | Langevin | AnnealedLangevin | ReverseSDE | ProbabilityFlow | Posterior
"""Any of them."""
