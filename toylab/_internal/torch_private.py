"""Everything toylab uses of torch that torch does not promise to keep, behind names of our own.

The rest of toylab is written in public names; ``tests/internal/test_torch_private.py`` holds it to that, and says which
of these has changed when a release of torch changes one.
"""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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


def in_vmap() -> bool:
    """Whether a ``torch.func.vmap`` is under way: the interpreters on the stack of ``torch.func`` know their kind.

    No public question answers this, and ``forward_ad.make_dual``, several times as fast as the public
    ``torch.func.jvp``, cannot be batched.
    """
    stack = torch._C._functorch.get_interpreter_stack() or []
    return any(interpreter.key() == torch._C._functorch.TransformType.Vmap for interpreter in stack)


def differentiated(tensor: Tensor) -> bool:
    """Whether a derivative of the tensor may be wanted: it has a graph, or a transform or a dual level is open."""
    return tensor.requires_grad or in_transform()


def in_transform() -> bool:
    """Whether a transform of ``torch.func`` or a forward-mode pass is open, whose tensors no kernel can read."""
    return in_forward_mode() or torch._C._functorch.peek_interpreter_stack() is not None


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


def is_hooked(module: nn.Module) -> bool:
    """Whether calling the module runs more than the forward method of its class, before or after it.

    ``Module._forward_hooks`` and the like, and ``torch.nn.modules.module._has_any_global_hook``. No public question
    answers this, and what computes with the weights alone would pass such a hook by.
    """
    own = module._forward_hooks, module._forward_pre_hooks
    return any(own) or "forward" in vars(module) or torch.nn.modules.module._has_any_global_hook()


class MemoryTaken(TorchDispatchMode):
    """Counts the bytes that operations take while it is active.

    ``of_points`` is the most that was held at once of what depends on anything but the weights, ``of_weights`` of what
    is made of the weights alone, such as a rearranged copy.

    ``torch.utils._python_dispatch`` sees every operation, also those of ``torch.func``, where the public
    ``saved_tensors_hooks`` are refused; ``_cdata`` tells whether two tensors share their memory. The counters of
    ``torch.cuda`` are of a GPU alone. ``_should_skip_dynamo`` keeps torch's compiler from being loaded to be told to
    look away.

    Args:
        weights: whose own memory does not count.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self.of_points = self.of_weights = 0
        self._held = {"points": 0, "weights": 0}
        self._made_of = {memory._cdata: "weights" for memory in _memories(list(weights))}

    def __torch_dispatch__(self, operation: Any, kinds: Any, arguments: Any = (), keywords: Any = None) -> Any:  # noqa: ANN401, D105
        results = operation(*arguments, **(keywords or {}))
        given = _memories((arguments, keywords))
        for memory in given:
            self._note(memory, "points", 0)  # unless it is known, it was there before
        makers = {self._made_of[memory._cdata] for memory in given}
        for memory in _memories(results):
            self._note(memory, "weights" if makers == {"weights"} else "points", memory.nbytes())
        self.of_points = max(self.of_points, self._held["points"])
        self.of_weights = max(self.of_weights, self._held["weights"])
        return results

    def _note(self, memory: torch.UntypedStorage, maker: str, n_bytes: int) -> None:
        if memory._cdata not in self._made_of:
            self._made_of[memory._cdata] = maker
            self._held[maker] += n_bytes
            weakref.finalize(memory, self._forget, memory._cdata, n_bytes).atexit = False

    def _forget(self, memory: int, n_bytes: int) -> None:
        self._held[self._made_of.pop(memory)] -= n_bytes


def _memories(tree: object) -> list[torch.UntypedStorage]:
    """The memory of the tensors in nested tuples, lists and dictionaries; sparse ones and the like are left out."""
    tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
    return [t.untyped_storage() for t in tensors if t.layout is torch.strided and not t._is_zerotensor()]
