"""The machine's floor: how fast torch multiplies matrices, takes exponentials and draws random numbers on it."""

from dataclasses import dataclass

import torch

from toylab.bench.row import interleaved


@dataclass(frozen=True)
class Floor:
    """Seconds of one unit of work each, with all of torch's threads.

    Attributes:
        flop: one of the two operations of a multiply-add in a product [4096, 128] x [128, 128], float32.
        exp: one exponential in a block that stays in the cache.
        normal: one standard normal number, from a generator.
        uniform: one uniform number, from a generator.
    """

    flop: float
    exp: float
    normal: float
    uniform: float


def measured(repeats: int = 15) -> Floor:
    """The floor of this machine, now."""
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(4096, 128, generator=g), torch.randn(128, 128, generator=g)
    product, block = torch.empty(4096, 128), torch.randn(1 << 17, generator=g)
    result = torch.empty_like(block)
    many = 1 << 18
    seconds = interleaved(
        lambda: [torch.mm(a, b, out=product) for _ in range(10)],
        lambda: [torch.exp(block, out=result) for _ in range(10)],
        lambda: torch.randn(many, generator=g),
        lambda: torch.rand(many, generator=g),
        repeats=repeats,
    )
    units = (10 * 2 * 4096 * 128 * 128, 10 * block.numel(), many, many)
    # the least, not the median: a floor is what the machine can do when nothing disturbs it
    return Floor(*(min(times) / unit for times, unit in zip(seconds, units, strict=True)))
