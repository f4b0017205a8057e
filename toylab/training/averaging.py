"""A moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn

from toylab._internal import validate


class WeightAverage:
    """w_avg <- w_avg + (1 - d_k) (w - w_avg) after step k, with d_k = min(decay, k / (k + 10)).

    Early on the average is short, so that it forgets the initial weights. Buffers, such as the running means of
    BatchNorm, are copied as they are after the last step, as ``torch.optim.swa_utils`` does: they are averages already.

    ``n_steps`` counts the updates, a tensor without dimensions. The averaged weights lie in one piece of memory, one
    for each dtype, so that including the latest is one kernel or two for a network of any depth.

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
        self._latest, self._means = _by_dtype(network), in_one_piece(self.network)
        self._buffers = list(zip(self.network.buffers(), network.buffers(), strict=True))
        # k lies beside the weights, so that a CUDA graph can hold the update; half precision cannot count beyond 256
        first = self._latest[0][0]
        self.n_steps = torch.zeros((), dtype=torch.promote_types(first.dtype, torch.float32), device=first.device)

    def update(self) -> None:
        """Include the weights as they are now."""
        self._include(self._share(self.n_steps))
        self.n_steps += 1

    def _share(self, k: Tensor) -> Tensor:
        """1 - d_k, in which the latest weights are included after step k."""
        return (10 / (k + 10)).clamp_(min=1 - self.decay)

    @torch.no_grad()
    def _include(self, share: Tensor) -> None:
        """Move the average by this share of the way to the weights as they are now."""
        for mean, weights in zip(self._means, self._latest, strict=True):
            mean.lerp_(_end_to_end(weights), share.to(mean.dtype))
        for kept, current in self._buffers:
            kept.copy_(current)


def _by_dtype(network: nn.Module) -> list[list[nn.Parameter]]:
    """The weights, those of one dtype together."""
    weights = list(network.parameters())
    return [[w for w in weights if w.dtype == dtype] for dtype in dict.fromkeys(w.dtype for w in weights)]


@torch.no_grad()
def in_one_piece(network: nn.Module) -> list[Tensor]:
    """Lay the weights of a network one after the other in memory, and return that memory, a tensor for each dtype."""
    pieces = []
    for weights in _by_dtype(network):
        pieces.append(torch.cat([w.reshape(-1) for w in weights]))
        for w, part in zip(weights, pieces[-1].split([w.numel() for w in weights]), strict=True):
            w.data = part.view(w.shape)
    return pieces


def _end_to_end(weights: list[nn.Parameter]) -> Tensor:
    """The entries of weights of one dtype, one after the other; without a copy where they lie so already."""
    first = weights[0]
    memory, place = first.untyped_storage().data_ptr(), first.storage_offset()
    for w in weights:
        if w.untyped_storage().data_ptr() != memory or w.storage_offset() != place or not w.is_contiguous():
            return torch.cat([w.reshape(-1) for w in weights])
        place += w.numel()
    return first.detach().as_strided((place - first.storage_offset(),), (1,))
