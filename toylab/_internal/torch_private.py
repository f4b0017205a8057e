"""Everything toylab uses of torch that torch does not promise to keep, behind names of our own.

The rest of toylab is written in public names; ``tests/internal/test_torch_private.py`` holds it to that, and says which
of these has changed when a release of torch changes one.
"""

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor


def in_forward_mode() -> bool:
    """Whether forward-mode differentiation is under way: a ``dual_level`` or a ``torch.func.jvp`` is open.

    ``forward_ad._current_level``, -1 outside. The public ``unpack_dual`` cannot be asked: it raises inside
    ``torch.func.vmap`` and finds no tangent inside ``torch.func.vjp``. Without this question a sliced step of a network
    with tanh would be a third slower.
    """
    return forward_ad._current_level >= 0


def is_batched(x: Tensor) -> bool:
    """Whether ``torch.func.vmap`` runs over an axis of x, seen through the wrappers of the other transforms.

    ``torch._C._functorch``; the public alternative is to wait for the error that reading a value raises, which names
    no way round.
    """
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        if torch._C._functorch.is_batchedtensor(x):
            return True
        x = torch._C._functorch.get_unwrapped(x)
    return False


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
