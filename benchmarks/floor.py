"""The least that a GPU needs for a piece of work, at its own measured rates."""

from dataclasses import dataclass

import torch

from benchmarks.hardware_limit import HardwareLimit, hardware_limit


@dataclass(frozen=True)
class Floor:
    """What a piece of work cannot do without: so many units of each kind.

    The units of a GPU that do them run side by side, so that the slowest kind alone is a floor, and their sum is none.

    Attributes:
        flop: multiplications and additions in products of matrices.
        exp: exponentials, or logarithms, at the same price.
        normal: standard normal numbers.
        uniform: uniform numbers.
        byte: bytes of the points that are read and of the results that are written.
    """

    flop: float = 0.0
    exp: float = 0.0
    normal: float = 0.0
    uniform: float = 0.0
    byte: float = 0.0

    def seconds(self, limit: HardwareLimit) -> tuple[float, str]:
        """The seconds of the slowest kind, and its name."""
        kinds = {
            "products of matrices": self.flop * limit.flop,
            "exponentials": self.exp * limit.exp,
            "normal numbers": self.normal * limit.normal,
            "uniform numbers": self.uniform * limit.uniform,
            "memory": self.byte * limit.byte,
        }
        slowest = max(kinds, key=lambda kind: kinds[kind])
        return kinds[slowest], slowest

    def now(self, device: torch.device | str) -> tuple[float, str]:
        """The same at the device's rates, measured now."""
        return self.seconds(hardware_limit(repeats=5, device=device))


def langevin_floor(n_components: int, n: float) -> Floor:
    """Of n steps of a chain of Langevin on a mixture: one exponential per component, two normal numbers."""
    return Floor(exp=n_components * n, normal=2 * n)


def mala_floor(n_components: int, n: float) -> Floor:
    """On top of that, a uniform number and two logarithms, of it and of p."""
    return Floor(exp=(n_components + 2) * n, normal=2 * n, uniform=n)


def network_floor(network: torch.nn.Module, n: float) -> Floor:
    """Of n steps of a chain of Langevin with a network: its products, an exponential per unit, two normal numbers."""
    shapes = [weight.shape for name, weight in network.named_parameters() if name.endswith("weight")]
    return Floor(
        flop=2 * n * sum(rows * columns for rows, columns in shapes),
        exp=n * sum(rows for rows, _ in shapes[:-1]),
        normal=2 * n,
    )


def mixture_floor(n_components: int, n: float, n_outputs: int) -> Floor:
    """Of a mixture at n points: one exponential per component; two coordinates in, ``n_outputs`` out, in float32."""
    return Floor(exp=n_components * n, byte=4 * (2 + n_outputs) * n)
