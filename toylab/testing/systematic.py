"""Draws of a small table, each state as often as its probability says."""

import torch
from torch import Tensor


def systematic(probabilities: Tensor, n: int, seed: int) -> Tensor:
    """The numbers of n states [n], each to one as often as it should be, by systematic sampling, in random order."""
    g = torch.Generator().manual_seed(seed)
    offset = torch.rand((), dtype=torch.float64, generator=g, device="cpu")
    at = (torch.arange(n, dtype=torch.float64, device="cpu") + offset) / n
    k = torch.searchsorted(probabilities.cumsum(0), at).clamp(max=len(probabilities) - 1)
    return k[torch.randperm(n, generator=g, device="cpu")]
