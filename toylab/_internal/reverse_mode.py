"""Reverse mode that leaves torch's compiler alone.

What ``torch.func.vjp`` returns for pulling back loads the compiler of torch at its first call, 70 MB and a second or
more for something that is never asked for here. So the derivative is taken inside of the function, as
``torch.func.grad`` takes it; and of a number, since ``torch.autograd.grad`` along a tensor loads sympy.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def values_and_vjps(
    function: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, directions: Sequence[Tensor] | None = None
) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """What the function gives at x, and v^T J for each direction v, J the derivative of the first that it gives.

    As of ``torch.func.vjp``, the results have a graph where x, or what the function reads, has one.

    Args:
        function: maps x to a tuple of tensors; only the first needs derivatives.
        x: where; never an inference tensor.
        directions: tensors of the shape of the first; if none are given, one that is 1 everywhere.
    """
    again = torch.is_grad_enabled()  # asked outside of torch.func, in which it always is: else nothing need be kept

    def with_products(y: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        values, *more = function(y)
        along = [torch.ones_like(values)] if directions is None else directions
        if not values.requires_grad:  # they do not depend on y
            return (values, *(torch.zeros_like(y) for _ in along)), tuple(more)
        products = [
            torch.autograd.grad((v * values).sum(), y, retain_graph=True, create_graph=again, materialize_grads=True)[0]
            for v in along
        ]
        return (values, *products), tuple(more)

    (values, *products), _, more = torch.func.vjp(with_products, x, has_aux=True)  # type: ignore[misc]
    return (values, *more), products
