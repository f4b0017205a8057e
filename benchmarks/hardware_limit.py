"""What the hardware can do at best: how fast it multiplies matrices, takes exponentials, draws numbers and copies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import torch

from benchmarks.measurement import Measurement
from benchmarks.timing import time_in_turns

# Of a GPU, which needs much to be busy: rows of its matrices, exponentials and random numbers by torch, bytes of a copy
_ROWS, _EXPONENTIALS, _NUMBERS, _BYTES = 4096, 1 << 22, 1 << 24, 1 << 28


@dataclass(frozen=True)
class HardwareLimit:
    """Seconds of one unit of work each, with all of torch's threads.

    On a GPU with Triton exponentials and random numbers are taken in registers (``register_rates``), as a fused kernel
    takes them; elsewhere by torch.

    Attributes:
        flop: one of the two operations of a multiply-add in a product of float32 matrices: [4096, 128] x [128, 128] on
            the CPU, [4096, 4096] x [4096, 4096] on a GPU, in TF32 where torch is allowed it.
        exp: one exponential, on the CPU in a block that stays in the cache.
        normal: one standard normal number, from a generator.
        uniform: one uniform number, from a generator.
        byte: one byte read or written, of a copy too large for any cache; 0 on the CPU, where nothing asks for it.
        failed: what went wrong, in one line; "" if nothing did.
    """

    flop: float = 0.0
    exp: float = 0.0
    normal: float = 0.0
    uniform: float = 0.0
    byte: float = 0.0
    failed: str = ""


def hardware_limit(repeats: int = 15, device: torch.device | str = "cpu") -> HardwareLimit:
    """The limit of this machine, or of its GPU, measured now."""
    device = torch.device(device)
    on_cpu = device.type == "cpu"
    g = torch.Generator(device).manual_seed(0)
    m, k = (4096, 128) if on_cpu else (_ROWS, _ROWS)
    a, b = (torch.randn(rows, k, device=device, generator=g) for rows in (m, k))
    product = torch.empty_like(a)
    sides: list[tuple[Callable[[], object], int]] = [
        (lambda: [torch.mm(a, b, out=product) for _ in range(10)], 10 * 2 * m * k * k),
        *(_in_registers(device) if not on_cpu and find_spec("triton") else _by_torch(device, g)),
    ]
    if not on_cpu:
        large = torch.empty(_BYTES, dtype=torch.uint8, device=device)
        copy = torch.empty_like(large)
        sides.append((lambda: copy.copy_(large), 2 * large.numel()))
    seconds = time_in_turns(
        *(lambda side=side: wait_for(side(), device) for side, _ in sides),
        repeats=repeats,
    )
    # the least, not the median: the limit is what the machine can do when nothing disturbs it
    return HardwareLimit(*(min(times) / unit for times, (_, unit) in zip(seconds, sides, strict=True)))


def _by_torch(device: torch.device, g: torch.Generator) -> list[tuple[Callable[[], object], int]]:
    """Exponentials, normal and uniform numbers, and how many."""
    on_cpu = device.type == "cpu"
    n_exponentials, many = (1 << 17, 1 << 18) if on_cpu else (_EXPONENTIALS, _NUMBERS)  # the block is in a core's cache
    block = torch.randn(n_exponentials, device=device, generator=g)
    result = torch.empty_like(block)
    return [
        (lambda: [torch.exp(block, out=result) for _ in range(10)], 10 * block.numel()),
        (lambda: torch.randn(many, device=device, generator=g), many),
        (lambda: torch.rand(many, device=device, generator=g), many),
    ]


def _in_registers(device: torch.device) -> list[tuple[Callable[[], object], int]]:
    from benchmarks.register_rates import exponentials, normals, uniforms

    n_programs, few, many = 4096, 64, 1024
    out = torch.empty(n_programs * 1024, device=device)
    return [
        (lambda: exponentials(out, many), many * out.numel()),
        (lambda: normals(out, few), 4 * few * out.numel()),
        (lambda: uniforms(out, few), 4 * few * out.numel()),
    ]


def limit_measurement(device: torch.device | str) -> Measurement[HardwareLimit]:
    """The limit, still to be measured."""

    def measure() -> Iterator[HardwareLimit]:
        yield hardware_limit(device=device)

    return Measurement((HardwareLimit(),), measure)


def line(limit: HardwareLimit) -> str:
    """In one sentence."""
    if limit.failed:
        return f"The hardware's limit: failed: {limit.failed}."
    memory = f", and {1e-9 / limit.byte:.0f} GB/s of memory" if limit.byte else ""
    exponential, normal, uniform = (
        f"{1e9 * t:.2f} ns" if t > 1e-10 else f"{1e12 * t:.2f} ps" for t in (limit.exp, limit.normal, limit.uniform)
    )
    return (
        f"The hardware's limit: {1e-9 / limit.flop:.0f} GFLOP/s in products of matrices, {exponential} per "
        f"exponential, {normal} per normal and {uniform} per uniform number{memory}."
    )


def wait_for(result: object, device: torch.device) -> None:
    """Wait until the GPU has computed the result."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
