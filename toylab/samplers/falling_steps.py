"""Steps that fall like a power, as stochastic-gradient Langevin needs them."""

from collections.abc import Callable

from toylab._internal import validate


def falling_steps(first: float, last: float, n_steps: int, *, gamma: float = 0.55) -> Callable[[int], float]:
    """eps_k = a (b + k)^-gamma, a schedule for ``step_size``, with a and b such that it meets both ends.

    For 1/2 < gamma <= 1 the sum of eps_k grows without bound and that of eps_k^2 does not. Then the noise of a
    stochastic score, (eps/2)^2 Var s, falls behind that which is injected, eps, and what the chains have seen is told
    by the weighted mean sum_k eps_k f(x_k) / sum_k eps_k. Source: Welling & Teh 2011, section 3 and eq. 11.

    Args:
        first: eps_0.
        last: eps at k = n_steps - 1, less than ``first``.
        n_steps: number of steps, at least 2.
        gamma: the power, above 1/2 and at most 1.

    >>> eps = falling_steps(0.01, 0.0001, 1001, gamma=1.0)
    >>> f"{eps(0):.4f} {eps(500):.6f} {eps(1000):.4f}"
    '0.0100 0.000198 0.0001'
    """
    first, last, gamma = (
        validate.positive(name, v) for name, v in (("first", first), ("last", last), ("gamma", gamma))
    )
    n_steps = validate.count("n_steps", n_steps, least=2)
    if not last < first:
        raise ValueError(f"first is {first:g} and last is {last:g}: steps fall, so give first > last.")
    if not 0.5 < gamma <= 1:
        raise ValueError(
            f"gamma is {gamma:g}: above 1/2 the sum of eps^2 is finite, and up to 1 that of eps is not. Give 0.55 or "
            "another number in between."
        )
    b = (n_steps - 1) / ((first / last) ** (1 / gamma) - 1)
    return lambda k: first * (1 + k / b) ** -gamma
