"""What depends on where tensors live, decided in one place: no other module asks for the type of a device.

On the CPU a value can be read for nothing. A CUDA device computes behind the program: to read a value is to wait for
it, and a step that is repeated is recorded once and replayed (``cuda_graphs``). Apple's MPS has no float64, and the
meta device no numbers. What a recorded step needs on the card must be there already: hence ``constant``.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from toylab._internal.display import reason, short
from toylab._internal.remembered import remembered

Numbers: TypeAlias = float | tuple[float, ...] | tuple[tuple[float, ...], ...]

CPU = torch.device("cpu")

# pairs of component and point per chunk: what a core's cache holds; on a GPU, where every chunk costs launches, many
_PAIRS, _PAIRS_ON_A_GPU = 5 << 15, 1 << 24

_NO_FLOAT64 = "Apple's GPU, which has no float64, in which toylab keeps the parameters of its laws"


def at_hand(device: torch.device) -> bool:
    """Whether values there can be read for nothing: on a GPU the program would wait, which no graph can hold."""
    return device.type == "cpu"


def has_values(device: torch.device) -> bool:
    """Whether tensors there hold numbers: not on meta."""
    return device.type != "meta"


def records(device: torch.device) -> bool:
    """Whether a step that is repeated there is recorded as a CUDA graph; what it returns lies in the graph's memory."""
    return device.type == "cuda"


def exact_products(device: torch.device) -> bool:
    """Whether products of float32 matrices keep all digits: a GPU may drop some (TF32)."""
    return device.type == "cpu"


def autocasts(device: torch.device) -> bool:
    """Whether ``torch.autocast`` is under way for the device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def pairs_at_once(device: torch.device) -> int:
    """How many pairs of a point and a component are evaluated at once."""
    return _PAIRS if device.type == "cpu" else _PAIRS_ON_A_GPU


def cuda_is_there() -> bool:
    """Whether this torch sees a CUDA device."""
    return torch.cuda.is_available()


def chosen(name: str) -> str:
    """The device that a name of the command line means: "auto" is CUDA where there is one, else the CPU.

    Apple's GPU is never chosen: it has no float64.
    """
    if name == "auto":
        return "cuda" if cuda_is_there() else "cpu"
    return name


def label(device: torch.device | str) -> str:
    """The device in words, as results are labelled: "cpu", or the name of the GPU."""
    found = find(device)
    return torch.cuda.get_device_name(found) if found.type == "cuda" else str(found)


def find(device: torch.device | str) -> torch.device:
    """The device of that name.

    Raises:
        ValueError: unless tensors of float64 can live there.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(_unusable(device, error)) from None
    refuse_without_float64("device", found)
    if not has_values(found):
        raise ValueError("device is 'meta', where tensors hold no numbers. Give 'cpu', or leave it out.")
    try:
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:  # of a torch without CUDA it is an AssertionError
        raise ValueError(_unusable(device, error)) from None
    return found


def _unusable(device: object, error: Exception) -> str:
    return f"device is {short(device)}: torch cannot use it ({reason(error)}). Give 'cpu', or leave it out."


def home(f: object) -> torch.device | None:
    """Where the weights are of a torch module, of the one whose method f is or that a dataclass f holds; else None."""
    owner = getattr(f, "__self__", f)
    if isinstance(owner, nn.Module):
        weight = next(owner.parameters(), None)
        return None if weight is None else weight.device
    if not dataclasses.is_dataclass(owner) or isinstance(owner, type):
        return None
    return next((found for part in vars(owner).values() if (found := home(part)) is not None), None)


def refuse_without_float64(name: str, value: Tensor | torch.Generator | torch.device | str) -> None:
    """Raise ``ValueError`` for a tensor or a generator that lives where there is no float64, and for such a device."""
    if isinstance(value, Tensor) and not value.is_mps:  # the quick way: every evaluation asks
        return
    device = value if isinstance(value, torch.device | str) else value.device
    if str(device).partition(":")[0] == "mps":
        mend = f"{name}.cpu()" if isinstance(value, Tensor) else "torch.Generator()"
        mend = "'cpu'" if device is value else mend
        raise ValueError(f"{name} is on {device}, {_NO_FLOAT64}. Give {mend}; on the command line, --device cpu.")


def stage_generator(seed: int, stage: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random stream of one stage of an experiment: on its device, so that its steps can be recorded there."""
    return torch.Generator(find(device)).manual_seed(1000 * seed + stage)


def draws_on(generator: torch.Generator | None, device: torch.device) -> bool:
    """Whether numbers for the device are drawn there: no generator is the global stream of the device itself."""
    return generator is None or generator.device.type == device.type


def free_bytes(device: torch.device) -> float:
    """What is free on a device, with what torch has set aside there; inf where the system does not say."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + unused)
    told = Path("/proc/meminfo")  # Linux has it
    if device.type != "cpu" or not told.exists():
        return math.inf
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", told.read_text(), re.MULTILINE)
    return math.inf if found is None else 1024.0 * int(found[1])


def processors(device: torch.device) -> int:
    """How many programs of a kernel run there at once, at least."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def tf32_is_allowed() -> bool:
    """Whether torch was allowed to compute products of float32 matrices in TF32 on a CUDA device."""
    matmul: Any = torch.backends.cuda.matmul
    try:
        return bool(matmul.allow_tf32)  # also where torch.set_float32_matmul_precision("high") allowed it
    except RuntimeError:  # torch does not answer where its newer setting was used
        return bool(matmul.fp32_precision == "tf32")


@contextmanager
def current(device: torch.device) -> Iterator[None]:
    """In the block, what is launched on CUDA is launched on this device."""
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        yield


def wait_for(device: torch.device) -> None:
    """Wait until the CUDA device has done all that it was given; elsewhere nothing is left to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def stream_as_it_is(generator: torch.Generator | None, device: torch.device) -> Callable[[], object]:
    """A function that brings the stream that numbers for the device are drawn from back to where it is now."""
    read, write = global_stream(device) if generator is None else (generator.get_state, generator.set_state)
    return partial(write, read())


def global_stream(device: torch.device) -> tuple[Callable[[], Tensor], Callable[[Tensor], object]]:
    """How to read and to set the state of torch's global random stream of the device."""
    if device.type == "cuda":
        return (lambda: torch.cuda.get_rng_state(device)), (lambda state: torch.cuda.set_rng_state(state, device))
    return torch.get_rng_state, torch.set_rng_state


def constant(numbers: Numbers, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers as a tensor where ``like`` is, of its dtype if no other is given; made once, and not to be changed.

    To make it anew is to copy it to the device, which waits and which no CUDA graph can hold.
    """
    return _constant(numbers, dtype or like.dtype, like.device)


def number(value: Tensor | float, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The same for a number that changes from call to call, which is filled in there, or for a tensor, which moves."""
    dtype = dtype or like.dtype
    if isinstance(value, Tensor):
        return value.to(dtype=dtype, device=like.device)
    return torch.full((), value, dtype=dtype, device=like.device)


@remembered(4096)
def _constant(numbers: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():  # what is kept is used in every mode
        made = torch.tensor(numbers, dtype=dtype, device=device)
        plain: Tensor = torch.func.debug_unwrap(made)  # without the wrapper of a transform, which dies with it
        return plain
