"""The mixture rule: log p, score and divergence of a mixture from those of its components."""

import math

import torch
from torch import Tensor

from toylab._internal.devices import at_hand
from toylab._internal.validate import readable


def mixture(log_joint: Tensor, scores: Tensor, divergences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p, score and divergence of p = sum_k w_k p_k from those of its components.

    With l_k = log(w_k p_k(x)) and r = softmax(l):  log p = logsumexp(l),  s = sum_k r_k s_k  and
    div s = sum_k r_k div s_k + sum_k r_k |s_k - s|^2. The last sum, the "between" form, is not written
    sum r_k |s_k|^2 - |s|^2, which loses everything in float32.

    Args:
        log_joint: l_k, shape [..., K].
        scores: s_k, shape [..., K, 2].
        divergences: div s_k, shape [..., K].

    Returns:
        log p [...], s [..., 2] and div s [...].
    """
    r = log_joint.softmax(-1)
    # where a component has no mass its score means nothing, and may be nan, or have a square that is none
    nothing = (r == 0) | (log_joint == -math.inf)
    scores = torch.where(nothing[..., None], 0.0, scores)
    divergences = torch.where(nothing, 0.0, divergences)
    # relative to the heaviest component, so that equal components of a huge score cancel exactly
    heaviest = log_joint.argmax(-1)[..., None, None].expand(*log_joint.shape[:-1], 1, 2)
    reference = scores.gather(-2, heaviest)
    spread = scores - reference
    mean = (r[..., None] * spread).sum(-2, keepdim=True)
    between = (r * (spread - mean).square().sum(-1)).sum(-1)
    return log_joint.logsumexp(-1), (reference + mean)[..., 0, :], (r * divergences).sum(-1) + between


def too_far(log_joint: Tensor, dim: int) -> bool:
    """Whether some point is so far from all components, along ``dim``, that float32 will not do for their weights.

    It loses eps |log p| of each: 1e-5 where log p is -100. Nan counts as far. On a GPU, where an answer would be
    waited for, it is not asked: float32 is float32 there.
    """
    if not at_hand(log_joint.device) or log_joint.numel() == 0:
        return False
    return not readable(log_joint) or not float(log_joint.detach().amax(dim).amin()) >= -100


def nowhere(x: Tensor, log_p: Tensor) -> Tensor:
    """log p with -inf at infinite points, where inf - inf made it nan; a nan among the coordinates stays."""
    if readable(log_p) and not math.isnan(float(log_p.detach().sum())):
        return log_p
    return torch.where(x.isinf().any(-1) & ~x.isnan().any(-1), -math.inf, log_p)
