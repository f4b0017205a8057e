"""Functions of points that a loss asks for again and again: at its data, and at what it draws with the same numbers."""

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal.torch_private import differentiated

_MOST_KEPT = 4  # sets of points


class Remembered:
    """A function of points that is not computed again for the last few of them that nothing is differentiated by."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function
        self._kept: deque[tuple[Tensor, Tensor]] = deque(maxlen=_MOST_KEPT)

    def __call__(self, x: Tensor) -> Tensor:
        if differentiated(x):
            return self._function(x)
        for at, found in self._kept:
            if at.dtype == x.dtype and torch.equal(at, x):
                return found
        found = self._function(x)
        if not found.requires_grad:
            self._kept.append((x.clone(), found))
        return found
