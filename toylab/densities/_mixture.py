"""The mixture rule: log p, score and divergence of a mixture from those of its components."""

import math

import torch
from torch import Tensor


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
    # where a component has no mass its score means nothing, and may be nan
    scores = torch.where((log_joint == -math.inf)[..., None], 0.0, scores)
    divergences = torch.where(log_joint == -math.inf, 0.0, divergences)
    # relative to the heaviest component, so that equal components of a huge score cancel exactly
    heaviest = log_joint.argmax(-1)[..., None, None].expand(*log_joint.shape[:-1], 1, 2)
    reference = scores.gather(-2, heaviest)
    spread = scores - reference
    mean = (r[..., None] * spread).sum(-2, keepdim=True)
    between = (r * (spread - mean).square().sum(-1)).sum(-1)
    return log_joint.logsumexp(-1), (reference + mean)[..., 0, :], (r * divergences).sum(-1) + between
