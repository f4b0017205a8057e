"""Everything toylab uses of torch that torch does not promise to keep, behind names of our own.

The rest of toylab is written in public names; ``tests/internal/test_torch_private.py`` holds it to that, and says which
of these has changed when a release of torch changes one.
"""

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn


def in_forward_mode() -> bool:
    """Whether forward-mode differentiation is under way: a ``dual_level`` or a ``torch.func.jvp`` is open.

    ``forward_ad._current_level``, -1 outside. The public ``unpack_dual`` cannot be asked: it raises inside
    ``torch.func.vmap`` and finds no tangent inside ``torch.func.vjp``. Without this question a sliced step of a network
    with tanh would be a third slower.
    """
    return forward_ad._current_level >= 0


def standard_gamma(shape: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Gamma numbers of rate 1, one per entry of ``shape`` (their shape parameters).

    ``torch._standard_gamma``, the sampler behind ``torch.distributions.Gamma``, which takes no generator.
    """
    return torch._standard_gamma(shape, generator=generator)


def version(tensor: Tensor) -> int:
    """How often the tensor has been changed in place; inference tensors have no version counter.

    ``Tensor._version``. The public alternative is to copy the tensor, or to compare all of its entries, at every call,
    which no CUDA graph can hold.
    """
    return tensor._version


def uncompiled(module: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` was given, with the same weights; any other as it is.

    ``OptimizedModule._orig_mod``. What is compiled cannot be differentiated in forward mode, nor twice.
    """
    original = getattr(module, "_orig_mod", module)
    return original if isinstance(original, nn.Module) else module
