"""Steps of an ordinary differential equation dx/dt = v(x, t), for the probability flow."""

from collections.abc import Callable

from torch import Tensor

from toylab.samplers.step_arguments import check_arguments
from toylab.sde import Time

Velocity = Callable[[Tensor, Time], Tensor]
Step = Callable[[Velocity, Tensor, Time, Time], Tensor]


@check_arguments
def euler_step(v: Velocity, x: Tensor, t: Time, u: Time) -> Tensor:
    """x' = x + h v(x, t), h = u - t: order 1, one evaluation."""
    return x + (u - t) * v(x, t)


@check_arguments
def heun_step(v: Velocity, x: Tensor, t: Time, u: Time) -> Tensor:
    """A step of Euler to y, then x' = x + h/2 [v(x, t) + v(y, u)], h = u - t: order 2, two evaluations."""
    h = u - t
    here = v(x, t)
    return x + 0.5 * h * (here + v(x + h * here, u))


@check_arguments
def rk4_step(v: Velocity, x: Tensor, t: Time, u: Time) -> Tensor:
    """The classical Runge-Kutta step, x' = x + h/6 (k1 + 2 k2 + 2 k3 + k4), h = u - t: order 4, four evaluations."""
    h, middle = u - t, (t + u) / 2
    k1 = v(x, t)
    k2 = v(x + 0.5 * h * k1, middle)
    k3 = v(x + 0.5 * h * k2, middle)
    k4 = v(x + h * k3, u)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
