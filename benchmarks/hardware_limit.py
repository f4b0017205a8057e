"""What the hardware can do at best: how fast torch multiplies matrices, takes exponentials and draws random numbers."""

from dataclasses import dataclass

import torch

from benchmarks.timing import time_in_turns


@dataclass(frozen=True)
class HardwareLimit:
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


def hardware_limit(repeats: int = 15, device: torch.device | str = "cpu") -> HardwareLimit:
    """The limit of this machine, or of its GPU, measured now."""
    device = torch.device(device)
    on_cpu = device.type == "cpu"
    g = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(rows, 128, device=device, generator=g) for rows in (4096, 128))
    # what fits into a core's cache; a GPU needs more to be busy
    product, block = torch.empty_like(a), torch.randn(1 << (17 if on_cpu else 22), device=device, generator=g)
    result = torch.empty_like(block)
    many = 1 << (18 if on_cpu else 24)
    seconds = time_in_turns(
        lambda: wait_for([torch.mm(a, b, out=product) for _ in range(10)], device),
        lambda: wait_for([torch.exp(block, out=result) for _ in range(10)], device),
        lambda: wait_for(torch.randn(many, device=device, generator=g), device),
        lambda: wait_for(torch.rand(many, device=device, generator=g), device),
        repeats=repeats,
    )
    units = (10 * 2 * 4096 * 128 * 128, 10 * block.numel(), many, many)
    # the least, not the median: the limit is what the machine can do when nothing disturbs it
    return HardwareLimit(*(min(times) / unit for times, unit in zip(seconds, units, strict=True)))


def wait_for(result: object, device: torch.device) -> None:
    """Wait until the GPU has computed the result."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
