"""All states of n spins, in the order in which one counts; and what a tensor of spins must be."""

import torch
from torch import Tensor

from toylab._internal import devices, validate
from toylab._internal.display import short
from toylab.discrete.inputs import check_precision

MOST_SPINS = 16  # 65,536 states


def all_spins(n: int, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Tensor:
    """Every state of n spins, shape [2^n, n], entries -1 and +1: row k holds the binary digits of k, -1 for a 0.

    Args:
        n: number of spins, at most 16.
        dtype: of the result; torch's default if not given.
        device: where it is made; the CPU if not given.
    """
    if validate.count("n", n) > MOST_SPINS:
        raise ValueError(too_many(n))
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype is {short(dtype)}: spins are floating point. Give torch.float32 or torch.float64.")
    at = devices.CPU if device is None else validate.device(device)
    k, digit = torch.arange(2**n, device=at), torch.arange(n - 1, -1, -1, device=at)
    return (2 * (k[:, None] >> digit & 1) - 1).to(dtype)


def too_many(n: int) -> str:
    """The sentence for more spins than can be summed over."""
    return (
        f"there are {n} spins, and so 2^{n} states: every one of them is summed over here, up to {MOST_SPINS} spins. "
        "Give fewer."
    )


def check_spins(x: Tensor, n: int) -> Tensor:
    """Return ``x``, or raise unless it holds states of n spins, [..., n], each -1 or +1, in single or double precision.

    The values are read where they are ``readable``.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}: give a torch tensor of spins, of shape [..., {n}].")
    check_precision("x", x)
    if x.ndim == 0 or x.shape[-1] != n:
        raise ValueError(f"x has shape {list(x.shape)}: the machine has {n} spins, so give shape [..., {n}].")
    if validate.readable(x) and not bool((x.abs() == 1).all()):
        bad = x[x.abs() != 1][0].item()
        raise ValueError(f"x holds {bad:g}: a spin is -1 or +1. Of bits 0 and 1 make spins by 2 * bits - 1.")
    return x
