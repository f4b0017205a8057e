"""A softplus network with its derivative along given directions: by kernels where they run, else by the plain path."""

from collections.abc import Sequence

import torch
from torch import Tensor

from toylab._internal import mlp_jvp
from toylab._internal.torch_private import in_transform
from toylab._kernels.when import attempt, fused


def softplus_with_tangents(layers: Sequence[tuple[Tensor, Tensor]], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """s(x) [n, m, 2] and (grad s)(x) v [n, k, m, 2], as ``mlp_jvp.softplus_with_tangents``, whose arguments these are.

    Of one network all are without n.
    """
    results = list[Tensor]()

    def launch() -> None:
        from toylab._kernels.softplus_mlp import with_tangents  # it imports triton

        if x.ndim == 2:
            parts = with_tangents([(weight[None], bias[None]) for weight, bias in layers], x[None], v[None])
            results.extend(part.squeeze(0) for part in parts)
        else:
            results.extend(with_tangents(layers, x, v))

    suits = fused(x.device) and x.dtype in (torch.float32, torch.float64) and x.numel() > 0 and not in_transform()
    if suits and attempt("of a softplus network", x.device, launch):
        return results[0], results[1]
    return mlp_jvp.softplus_with_tangents(layers, x, v)
