"""Quadrature over a latent: laws that are Gaussian once one number u is known.

p(x) = int w(u) N(x; m(u), C(u)) du is a Gaussian mixture with infinitely many components, and noise only adds
sigma^2 I to C(u). Each point gets nodes of its own, zoomed onto the window where its integrand lives, so that the
same rule serves every noise level and the far tails. Everything here is float64, whatever the points are.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from toylab.densities.density import mixture

# Beyond the depth the integrand is below e^-60 = 1e-26 of its largest value.
_DEPTH, _ROUNDS, _SCAN, _PANELS, _ORDER, _CHUNK = 60.0, 7, 129, 40, 16, 4096

# Of points x [n, 2], noise level sigma [n, 1] and latents u [n, J]:
# log w(u) N(x; m(u), C(u) + sigma^2 I) [n, J], its score in x [n, J, 2] and the divergence of that [n, J].
Components = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def evaluate(
    components: Components, x: Tensor, sigma: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """log p, score and divergence of p(x) = int w(u) N(x; m(u), C(u) + sigma^2 I) du.

    Args:
        components: the integrand, see ``Components``.
        x: points, shape [n, 2], float64.
        sigma: one noise level a point, shape [n].
        low: lower end of a window that holds each point's integrand, shape [n].
        high: its upper end, shape [n].

    Returns:
        log p [n], score [n, 2], divergence [n].
    """
    parts = [
        _evaluate(components, *chunk) for chunk in zip(*(t.split(_CHUNK) for t in (x, sigma, low, high)), strict=True)
    ]
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _evaluate(
    components: Components, x: Tensor, sigma: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    sigma, low, high = sigma[:, None], low[:, None], high[:, None]
    scan = torch.linspace(0, 1, _SCAN, dtype=x.dtype, device=x.device)
    for _ in range(_ROUNDS):
        u = low + (high - low) * scan
        log_joint = components(x, sigma, u)[0]
        inside = log_joint > log_joint.amax(-1, keepdim=True) - _DEPTH
        first = inside.int().argmax(-1, keepdim=True)
        last = _SCAN - 1 - inside.flip(-1).int().argmax(-1, keepdim=True)
        low = u.gather(-1, (first - 1).clamp(min=0))
        high = u.gather(-1, (last + 1).clamp(max=_SCAN - 1))
    nodes, weights = (torch.as_tensor(part, dtype=x.dtype, device=x.device) for part in _unit_rule())
    log_joint, scores, divergences = components(x, sigma, low + (high - low) * nodes)
    return mixture(log_joint + weights.log() + (high - low).log(), scores, divergences)


def _unit_rule() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Legendre on equal panels of [0, 1]."""
    t, w = np.polynomial.legendre.leggauss(_ORDER)
    starts = np.arange(_PANELS)[:, None]
    return ((starts + (t + 1) / 2) / _PANELS).ravel(), np.tile(w / 2 / _PANELS, _PANELS)
