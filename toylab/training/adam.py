"""The optimiser."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Adam:
    """Adam, where at step k every weight w with gradient g moves by its own running moments of g.

        m <- b1 m + (1 - b1) g,      v <- b2 v + (1 - b2) g^2
        w <- w - rate m' / (sqrt(v') + e),      m' = m / (1 - b1^k),      v' = v / (1 - b2^k)

    One call of the kernel behind ``torch.optim.Adam(fused=True)``, with the same results to the last digit: for a small
    network, what ``torch.optim`` does around it takes twice as long as the kernel. k lies beside the weights and the
    rate may be a tensor there, so that a CUDA graph can hold the step.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1, with its b1 = 0.9, b2 = 0.999, e = 1e-8.

    Args:
        parameters: the weights, changed in place.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for w in parameters:
            alike.setdefault((w.device, w.dtype), []).append(w)
        self._groups: list[tuple[Tensor, list[tuple[Tensor, Tensor, Tensor, Tensor]]]] = []  # all k, and w, m, v, k
        for (device, _), weights in alike.items():
            steps = torch.zeros(len(weights), dtype=torch.float32, device=device)
            self._groups.append(
                (steps, [(w, torch.zeros_like(w), torch.zeros_like(w), k) for w, k in zip(weights, steps, strict=True)])
            )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for _, rows in self._groups:
            for w, *_ in rows:
                w.grad = None

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """One step along the gradients in ``.grad``; a weight without one stays."""
        rate = rate.float() if isinstance(rate, Tensor) else rate
        for steps, rows in self._groups:
            if moving := [row for row in rows if row[0].grad is not None]:
                w, m, v, k = (list(column) for column in zip(*moving, strict=True))
                if len(moving) == len(rows):
                    steps.add_(1)  # one kernel for all of them
                else:
                    torch._foreach_add_(k, 1)
                torch._fused_adam_(
                    w, [each.grad for each in w], m, v, [], k, lr=rate, beta1=0.9, beta2=0.999, eps=1e-8,
                    weight_decay=0.0, amsgrad=False, maximize=False,
                )  # fmt: skip
