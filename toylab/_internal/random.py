"""Random numbers from a ``torch.Generator``.

Numbers are drawn on the generator's own device and then moved: a CPU generator gives the same stream whatever
device the chains live on; on a GPU, a CUDA generator is the fast choice. ``generator=None`` means torch's global
stream of the target device, as everywhere in torch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.torch_private import standard_gamma


def normal(
    shape: Sequence[int], *, dtype: torch.dtype, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Standard normal numbers, shape ``shape``."""
    at = _home(generator, device)
    _floating(dtype)
    return torch.randn(tuple(shape), dtype=dtype, device=at, generator=generator).to(device)


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal numbers of the shape, dtype and device of ``x``."""
    return normal(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def uniform(
    shape: Sequence[int], *, dtype: torch.dtype, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Numbers uniform on [0, 1), shape ``shape``."""
    at = _home(generator, device)
    _floating(dtype)
    return torch.rand(tuple(shape), dtype=dtype, device=at, generator=generator).to(device)


def integers(
    high: int, shape: Sequence[int], *, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Whole numbers uniform on 0 .. high - 1, shape ``shape``, dtype int64."""
    at = _home(generator, device)
    return torch.randint(high, tuple(shape), device=at, generator=generator).to(device)


def permutation(n: int, *, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """The numbers 0 .. n - 1 in random order, shape [n]."""
    at = _home(generator, device)
    return torch.randperm(n, device=at, generator=generator).to(device)


def categorical(probabilities: Tensor, shape: Sequence[int], *, generator: torch.Generator | None = None) -> Tensor:
    """Indices k with probability ``probabilities[k]``, shape ``shape``, by inverting the cumulative sum.

    ``torch.multinomial`` would need the probabilities on the generator's device and stops at 2**24 categories.
    """
    return between(probabilities.double().cumsum(-1), shape, generator=generator)


def between(edges: Tensor, shape: Sequence[int], *, generator: torch.Generator | None = None) -> Tensor:
    """The same of the cumulative sums of the probabilities, ``edges``, in float64."""
    u = uniform(shape, dtype=torch.float64, device=edges.device, generator=generator)
    return torch.searchsorted(edges[:-1], u * edges[-1], right=True)  # without the last edge none is beyond the end


def gamma(shape: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Gamma numbers of rate 1, one for each entry of ``shape`` (their shape parameters)."""
    at = _home(generator, shape.device)
    return standard_gamma(shape.to(at), generator).to(shape.device)


def _home(generator: torch.Generator | None, device: torch.device) -> torch.device:
    """Where to draw numbers for ``device``; raise ``TypeError`` unless the generator is one, or None."""
    generator = validate.generator(generator)
    return device if generator is None else generator.device


def _floating(dtype: torch.dtype) -> None:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(
            f"random numbers of dtype {short(dtype)} were asked for: give points of torch.float32 or float64."
        )
