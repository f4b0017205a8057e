"""The optimiser."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from toylab._internal.devices import records


class Adam:
    """Adam, where at step k every weight w with gradient g moves by its own running moments of g.

        m <- b1 m + (1 - b1) g,      v <- b2 v + (1 - b2) g^2
        w <- w - rate m' / (sqrt(v') + e),      m' = m / (1 - b1^k),      v' = v / (1 - b2^k)

    The function behind ``torch.optim.Adam(fused=True)``, with the same results to the last digit: for a small network,
    what the class does around it takes longer than the function. k lies beside the weights and the rate may be a tensor
    there, so that a CUDA graph can hold the step.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1, with its b1 = 0.9, b2 = 0.999, e = 1e-8.

    Args:
        parameters: the weights, changed in place.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._weights = list(parameters)
        self._first, self._second = ([torch.zeros_like(w) for w in self._weights] for _ in range(2))  # m and v
        self._steps = [torch.zeros((), dtype=torch.float32, device=w.device) for w in self._weights]  # k

    @property
    def tensors(self) -> list[Tensor]:
        """All that it remembers: m, v and k of every weight."""
        return [*self._first, *self._second, *self._steps]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for w in self._weights:
            w.grad = None

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """One step along the gradients in ``.grad``; a weight without one stays."""
        moving = [i for i, w in enumerate(self._weights) if w.grad is not None]
        w, m, v, k = ([part[i] for i in moving] for part in (self._weights, self._first, self._second, self._steps))
        gradients = [each.grad for each in w if each.grad is not None]
        rate = (
            rate.float() if isinstance(rate, Tensor) and records(rate.device) else rate
        )  # all that the kernel takes there
        adam(
            w, gradients, m, v, [], k, fused=True, lr=rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0,
            amsgrad=False, maximize=False,
        )  # fmt: skip
