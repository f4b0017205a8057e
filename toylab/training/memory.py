"""The memory of a training, told before it is taken."""

from dataclasses import dataclass

import torch
from torch import nn

from toylab._internal.devices import free_bytes

# of each weight: itself, its gradient, Adam's two moments, the average, that of the last report, and the one returned
_COPIES = 7
# what a step holds at most, over what its loss alone holds: of our objectives 0.8 to 1.9 were measured
_WITH_GRADIENT = 1.5
_DRAWN = 64  # bytes that the draw of a point takes


@dataclass(frozen=True)
class Memory:
    """What a training takes, in bytes; the most that is held at once lies between half of it and a quarter more.

    Attributes:
        per_network: for each network.
        per_point: for each of the points of its batch.
    """

    per_network: float
    per_point: float

    @staticmethod
    def of(network: nn.Module, loss_of_weights: float = 0.0, loss_per_point: float = 0.0) -> "Memory":
        """Of a network, and of a loss that takes so much for a rearranged copy of the weights, and for each point."""
        n_bytes = sum(p.numel() * p.element_size() for p in network.parameters())
        return Memory(_COPIES * n_bytes + loss_of_weights, _WITH_GRADIENT * max(loss_per_point, _DRAWN))

    def total(self, n_seeds: int, batch_size: int) -> float:
        """Of so many networks on batches of that size."""
        return n_seeds * (self.per_network + batch_size * self.per_point)

    def check(self, n_seeds: int, batch_size: int, device: torch.device) -> None:
        """Raise ``ValueError`` unless so much is free; nothing is checked where the system does not say."""
        needed, free = self.total(n_seeds, batch_size), free_bytes(device)
        if needed <= free:
            return
        largest = {
            "n_seeds": int(free / self.total(1, batch_size)),
            "batch_size": int((free / n_seeds - self.per_network) / self.per_point),
        }
        remedy = " or ".join(f"{name} of at most {most:,}" for name, most in largest.items() if most > 0)
        raise ValueError(
            f"n_seeds is {n_seeds:,} and batch_size {batch_size:,}: training takes about {_in_words(needed)} of memory "
            f"on {device}, where {_in_words(free)} are free. Give {remedy or 'a smaller network'}."
        )


def _in_words(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.2f} GB" if n_bytes >= 1e7 else f"{n_bytes / 1e6:,.2f} MB"
