"""What is known of a density: at which noise, and how much work a picture of it is."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from toylab.densities import Density
from toylab.metrics import Extent, grid_points

NUMBERS = 1e8  # that torch may compute for a picture: at 0.3 to 4 ns each, 0.4 s at most
_PROBE = 10  # points per side at which they are counted


def refusal(density: Density, sigma: float) -> str:
    """What the density says when it is asked for log p_sigma and its score; "" if it knows them."""
    x = torch.zeros(1, 2, dtype=torch.float64, device="cpu")
    try:
        density.log_prob(x, sigma)
        density.score(x, sigma)
    except (ValueError, TypeError, NotImplementedError) as error:
        return str(error)
    return ""


def unknown(density: Density) -> str:
    """Why a picture of the density cannot be drawn, neither clean nor with noise; "" if one can."""
    try:
        return refusal(density, 0.0) if refusal(density, 0.5) else ""
    except Exception as error:  # whatever the user's own functions raise
        return f"at (0, 0) its log_prob or score fails: {error}"


def affordable_cells(density: Density, sigma: float, extent: Extent, most: int) -> int:
    """Cells per side of the finest grid whose log p takes torch no more than ``NUMBERS``, from 20 to ``most``.

    They are counted, not timed, so that a law has the same grid on a busy machine. What is computed outside torch
    does not count.
    """
    x = grid_points(extent, _PROBE, dtype=torch.float64)
    density.log_prob(x[:1, :1], sigma)  # what is computed once for all points
    numbers = numbers_of(lambda: density.log_prob(x, sigma))
    return min(most, max(20, int(math.sqrt(NUMBERS * _PROBE**2 / max(numbers, 1)))))


def numbers_of(compute: Callable[[], object]) -> int:
    """How many numbers torch's functions return while this is computed."""
    counter = _Counter()
    with counter:
        compute()
    return counter.numbers


class _Counter(TorchFunctionMode):
    """Counts the numbers that torch's functions return inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        made = func(*args, **(kwargs or {}))
        self.numbers += sum(
            one.numel() for one in (made if isinstance(made, tuple | list) else (made,)) if isinstance(one, Tensor)
        )
        return made
