"""What an implicit loss on a bounded domain is made of, read off its slopes, and its known slips.

Of sum_i h_i s_i^2 / 2 + h_i d_i s_i + s_i d_i h_i the slope along f at a point is sum_i h_i s_i f_i + h_i d_i f_i +
f_i d_i h_i. How often a loss counts each is found by least squares, exactly if it draws nothing; of one that draws,
only whether it has these slopes in the mean.
"""

import torch
from torch import Tensor

from toylab.score import value_and_jacobian
from toylab.testing.domain_truth import DomainTruth
from toylab.testing.estimate import estimate
from toylab.testing.slips import explain_factor
from toylab.testing.truth import FIRST, SECOND, TRUTH, Losses
from toylab.testing.velocity_truth import TO_THE_RIGHT, UPWARDS

_SAME = 1e-5  # relative: of rounding in float32
_SURE = 5.0  # standard errors, of words for what is wrong already
_CLOSE = 0.02  # of a count to one that has a name


def explain_domain(losses: Losses, truth: DomainTruth, x: Tensor) -> str:
    """Why the loss is not least at s*, in words; empty if it is not known."""
    h, dh = value_and_jacobian(truth.weights, x)
    s, drift = truth.exact(x), dh.diagonal(dim1=-2, dim2=-1)
    terms, slopes = [], []
    for name in (FIRST, SECOND, TRUTH):
        f, df = value_and_jacobian(lambda y, name=name: truth.directions()[name](y, 0.0), x)
        parts = (h * s * f, h * df.diagonal(dim1=-2, dim2=-1), drift * f)
        terms.append(torch.stack([part.sum(-1) for part in parts], -1))
        slopes.append(_slope(losses, truth, x, name))
    design, slope = torch.cat(terms), torch.cat(slopes)
    constant = not bool((drift.abs() > 0).any())  # the last term is 0, and its count unknown
    used = design[:, :2] if constant else design
    counts = torch.linalg.lstsq(used, slope[:, None]).solution[:, 0]
    if not bool(torch.linalg.norm(used @ counts - slope) <= _SAME * torch.linalg.norm(slope)):
        excess = (slope - design.sum(-1)).view(len(slopes), -1)
        right = not any(estimate(part, part.new_empty(len(part), 0)).is_off(0.0, _SURE) for part in excess)
        return _wall_term(truth, x) if right else ""
    if not counts[0] > 0:
        return ""
    divergence, *rest = (counts[1:] / counts[0]).tolist()
    words = [_count("the term h_i d_i s_i", divergence), *(_count("the term s_i d_i h_i", count) for count in rest)]
    wrong = [part for part in words if part]
    return f"beside h_i s_i^2 / 2, {' and '.join(wrong)}" if wrong else _wall_term(truth, x)


def _wall_term(truth: DomainTruth, x: Tensor) -> str:
    walls = truth.open_walls(x)
    if not walls:
        return ""
    return (
        f"integration by parts leaves a term at a wall where the weight is not 0, at {', '.join(walls)}. Give one that "
        "is, as BoundedImplicit(WallDistance(box))"
    )


def explain_domain_weight(losses: Losses, truth: DomainTruth, x: Tensor) -> str:
    """Why the loss does not rise as 1/2 sum_i h_i (s_i - s*_i)^2, in words; empty if it is not known."""
    curved = torch.stack([_curvature(losses, truth, x, name) for name in (TO_THE_RIGHT, UPWARDS)], -1)
    expected = 0.5 * truth.weights(x)
    factor = float((curved * expected).sum() / expected.square().sum())
    if bool(torch.linalg.norm(curved - factor * expected) <= _SAME * torch.linalg.norm(curved)):
        return explain_factor(factor, None)
    return "its weight is another than h, which is that of BoundedImplicit, or given by weight= as a function of x"


def _count(term: str, count: float) -> str:
    if abs(count - 1) < _CLOSE:
        return ""
    if abs(count) < _CLOSE:
        return f"{term} is left out"
    return f"{term} has the wrong sign" if abs(count + 1) < _CLOSE else f"{term} counts {count:.3g} times"


def _slope(losses: Losses, truth: DomainTruth, x: Tensor, name: str) -> Tensor:
    ahead, behind = _ends(losses, truth, x, name)
    return 0.5 * (ahead - behind)


def _curvature(losses: Losses, truth: DomainTruth, x: Tensor, name: str) -> Tensor:
    ahead, behind = _ends(losses, truth, x, name)
    return 0.5 * (ahead + behind) - losses(truth.exact, x)


def _ends(losses: Losses, truth: DomainTruth, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    f = truth.directions()[name]
    ahead, behind = (losses(lambda y, level, h=h: truth.exact(y) + h * f(y, level), x) for h in (1.0, -1.0))
    return ahead, behind
