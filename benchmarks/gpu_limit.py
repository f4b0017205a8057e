"""What the card can do at best, to which the floors of the other rows refer."""

from collections.abc import Iterator

import torch

from benchmarks.hardware_limit import HardwareLimit, limit_measurement
from benchmarks.measurement import Measurement


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Measurement[HardwareLimit]]:
    """The card's rates, in one line; none without a card."""
    if torch.device(device).type != "cuda" or torch.cuda.is_available():
        yield limit_measurement(device)
