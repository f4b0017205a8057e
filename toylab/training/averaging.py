"""A moving average of a network's weights."""

import copy

import torch
from torch import nn

from toylab._internal import validate


class WeightAverage:
    """w_avg <- w_avg + (1 - d_k) (w - w_avg) after step k, with d_k = min(decay, k / (k + 10)).

    Early on the average is short, so that it forgets the initial weights. Buffers, such as the running means of
    BatchNorm, are copied as they are after the last step, as ``torch.optim.swa_utils`` does: they are averages already.

    ``n_steps`` counts the updates, a tensor without dimensions.

    Args:
        network: the network whose weights are averaged; it is copied, not changed.
        decay: d in [0, 1); 0 keeps the latest weights.
    """

    def __init__(self, network: nn.Module, decay: float = 0.99) -> None:
        if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
            raise TypeError(f"network is a {type(network).__name__}: give a torch module with parameters.")
        if not 0 <= (decay := validate.finite("decay", decay)) < 1:
            raise ValueError(f"decay is {decay}: it must be at least 0 and less than 1.")
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._average, self._latest = list(self.network.parameters()), list(network.parameters())
        self._buffers = list(zip(self.network.buffers(), network.buffers(), strict=True))
        # k lies beside the weights, so that a CUDA graph can hold the update; half precision cannot count beyond 256
        first = self._latest[0]
        self.n_steps = torch.zeros((), dtype=torch.promote_types(first.dtype, torch.float32), device=first.device)

    @torch.no_grad()
    def update(self) -> None:
        """Include the weights as they are now."""
        share = (10 / (self.n_steps + 10)).clamp_(min=1 - self.decay)  # 1 - d_k
        for mean, latest in zip(self._average, self._latest, strict=True):
            mean.lerp_(latest, share.to(mean.dtype))
        for kept, current in self._buffers:
            kept.copy_(current)
        self.n_steps += 1
