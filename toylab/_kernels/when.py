"""Where the fused kernels run: on a CUDA device that Triton can compile for. Elsewhere the plain path does.

On a CUDA device without them one sentence says why, once. Triton may also fail at the first launch, where there is no C
compiler or a kernel is too large for the card: then that kernel is given up for the rest of the process.
"""

import importlib
from collections.abc import Callable
from functools import cache

import torch

from toylab._internal.devices import current
from toylab._internal.warn import warn

OLDEST = (8, 0)  # compute capability, from Ampere on: what Triton is tested on
MENDS = "On Linux it comes with torch's builds for CUDA; on Windows there is the package triton-windows."

OPTIONS = {"enable_fp_fusion": True}  # for every launch: without fused multiply-adds kernels take up to twice as long

_given_up: set[tuple[str, torch.device]] = set()


def fused(device: torch.device) -> bool:
    """Whether kernels run on the device; warns, once, if it is a CUDA device on which they do not."""
    if device.type != "cuda":
        return False
    why = obstacle(device)
    if why:
        _tell(f"running without fused kernels, which are several times faster: {why}")
    return not why


@cache
def obstacle(device: torch.device) -> str:
    """Why a CUDA device runs no kernels, and what to do; "" if it does."""
    try:
        importlib.import_module("triton.language")
    except Exception as error:  # of a broken installation it may be any
        return f"triton cannot be imported ({error}). {MENDS}"
    if torch.version.hip is None and (found := torch.cuda.get_device_capability(device)) < OLDEST:
        return (
            f"the GPU has compute capability {found[0]}.{found[1]}, and Triton needs {OLDEST[0]}.{OLDEST[1]}. The "
            "results are the same."
        )
    return ""


def given_up(name: str, device: torch.device) -> bool:
    """Whether the kernel of that name was tried on the device, in vain."""
    return (name, device) in _given_up


def attempt(name: str, device: torch.device, launch: Callable[[], object]) -> bool:
    """Call ``launch`` on the device; False, with one sentence, if that kernel cannot be compiled or loaded.

    A lack of memory is no fault of the kernel, and raised; so is what happens while a CUDA graph is recorded.
    """
    if given_up(name, device):
        return False
    try:
        with current(device):
            launch()
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except Exception as error:
        if "out of memory" in str(error):  # Triton has no error of its own for it
            raise
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise  # the recording may be what it is refused in
        _given_up.add((name, device))
        reason = (str(error).splitlines() or [""])[0]
        _tell(
            f"the fused kernel {name} does not run here, and the plain path does instead, several times slower: "
            f"{type(error).__name__}: {reason}"
        )
        return False
    return True


@cache
def _tell(message: str) -> None:
    """Warn once in a process."""
    warn(message)
