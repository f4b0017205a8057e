"""Times and noise levels, each a number or a tensor, as tensors."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import at_hand
from toylab._internal.display import short
from toylab.sde.process import Time


def time_tensor(t: Time) -> Tensor:
    """``t``, a time in [0, 1] or a tensor of them, as a tensor, or raise; a number is one in float64."""
    t = validate.time(t)
    return t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64, device="cpu")


def level_tensor(level: Tensor | float) -> Tensor:
    """``level`` as a tensor, or raise unless it is greater than 0."""
    if not isinstance(level, Tensor):
        return torch.tensor(validate.positive("level", level), dtype=torch.float64, device="cpu")
    validate.floating("level", level)
    if at_hand(level.device) and not bool((level > 0).all()):
        raise ValueError(f"level is {short(level.tolist())}: noise levels are standard deviations, greater than 0.")
    return level


def in_unit_time(t: Tensor, level: Tensor | float) -> Tensor:
    """Refuse levels that no time in [0, 1] has; the values of a CUDA tensor are not read."""
    if at_hand(t.device) and not bool(((t >= -1e-6) & (t <= 1 + 1e-6)).all()):
        raise ValueError(
            f"level is {short(level.tolist() if isinstance(level, Tensor) else level)}: sigma(t) / alpha(t) takes no "
            "such value for t in [0, 1]. Give a level between those of t = 0 and t = 1."
        )
    return t.clamp(0, 1)
