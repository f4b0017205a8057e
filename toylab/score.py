"""What a score is, and how to differentiate one.

The score of a density p is the vector field s(x) = grad log p(x). Exact scores (a density's ``score`` method) and
learned ones (a network) are called the same way, so that everything downstream takes either.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast, runtime_checkable

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from toylab._internal import fields, user_functions, validate
from toylab._internal.reverse_mode import values_and_vjps
from toylab._internal.torch_private import in_forward_mode, in_vmap


@runtime_checkable
class Score(Protocol):
    """``score(x)``: points [..., 2] in, the field grad log p at each of them [..., 2] out."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """The score at the points x [..., 2]; same shape."""
        ...


@runtime_checkable
class NoiseConditionalScore(Protocol):
    """``score(x, sigma)``: the score of p_sigma, the law of X + sigma Z.

    ``sigma`` is a standard deviation: a number, or one level per point (a tensor that broadcasts to x.shape[:-1]).
    """

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        """The score of p_sigma at the points x [..., 2]; same shape."""
        ...


@runtime_checkable
class LogProb(Protocol):
    """``log_prob(x)``: points [..., 2] in, log p at each of them [...] out.

    Where only ratios count, as in Metropolis samplers, a constant may be missing.
    """

    def __call__(self, x: Tensor, /) -> Tensor:
        """log p at the points x [..., 2], shape [...]."""
        ...


@runtime_checkable
class EnergyScore(Protocol):
    """A score that is a gradient and knows of what: ``score(x)`` is -grad E(x), and ``score.energy(x)`` E(x)."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """-grad E at the points x [..., 2]; same shape."""
        ...

    def energy(self, x: Tensor, /) -> Tensor:
        """E at the points x [..., 2], shape [...]; the density is exp(-E) / Z."""
        ...


def at(score: NoiseConditionalScore, sigma: Tensor | float) -> Score:
    """Fix the noise level: turn ``score(x, sigma)`` into ``score(x)``.

    Args:
        score: a noise-conditional score, exact (``p.score``) or learned.
        sigma: standard deviation, a number or one level per point.

    Returns:
        The score of p_sigma, a function of x alone.

    >>> from toylab.densities import two_modes
    >>> at(two_modes().score, 3.0)(torch.tensor([25.0, 25.0]))
    tensor([-2., -2.])
    """
    return _At(validate.field("score", score, fields.LEVEL_SCORE), sigma)


def without_level(score: object) -> tuple[object, Tensor | float | None]:
    """The score that was given to ``at``, and its level; any other as it is, with None."""
    return (score.score, score.sigma) if isinstance(score, _At) else (score, None)


@dataclass(frozen=True, eq=False)
class _At:
    score: NoiseConditionalScore
    sigma: Tensor | float

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.score(x, self.sigma)


def gradient(log_prob: LogProb, x: Tensor) -> Tensor:
    """The score of a log-density by automatic differentiation: grad log p(x).

    Args:
        log_prob: maps points [..., 2] to log-densities [...], one value per point.
        x: points, shape [..., 2].

    Returns:
        The gradient, shape [..., 2]. It can be differentiated again while gradients are enabled, and be batched by
        ``torch.func.vmap``.
    """
    validate.points("x", x)
    with torch.inference_mode(False):
        x = x.clone() if x.is_inference() else x
        _, (slope,) = values_and_vjps(lambda y: (user_functions.call_log_prob("log_prob", log_prob, y),), x)
    return _as_grad_mode(slope)


def _as_grad_mode(result: Tensor) -> Tensor:
    """Without a graph under ``torch.no_grad``, which ``torch.func.vjp`` suspends; dual numbers stay as they are."""
    unwanted = result.requires_grad and not torch.is_grad_enabled() and not in_forward_mode()
    return result.detach() if unwanted else result


def value_and_jvp(score: Score, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """s(x) and the directional derivative (grad s)(x) v, in one forward-mode pass.

    A score may have a method ``with_tangents(x, v)``, of points [..., 2] and k directions per point [k, ..., 2] (or
    [k, 1, .., 1, 2], the same for all points), that returns s(x) and the derivatives [k, ..., 2] itself, or None.

    Args:
        score: the field s.
        x: points, shape [..., 2].
        v: one direction per point, shape [..., 2].

    Returns:
        s(x) and (grad s) v, both [..., 2]. Both carry gradients to the parameters of ``score``.
    """
    validate.field("score", score, fields.SCORE)
    validate.vectors("v", v, validate.points("x", x))
    if (found := _its_own(score, x, v[None])) is not None:
        return found[0], found[1].squeeze(0)
    if in_forward_mode() or in_vmap():
        return _value_and_jvp_by_reverse_mode(score, x, v)
    with torch.inference_mode(False), forward_ad.dual_level():  # inference mode would drop the tangents in silence
        x = x.clone() if x.is_inference() else x.contiguous()  # a dual number needs memory of its own
        s, jvp = forward_ad.unpack_dual(user_functions.call_field("score", score, forward_ad.make_dual(x, v)))
    jvp = torch.zeros_like(s) if jvp is None else jvp  # no tangent: s does not depend on x
    return _as_grad_mode(s), _as_grad_mode(jvp)


def _value_and_jvp_by_reverse_mode(score: Score, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The same where forward mode is not to be had: it cannot be nested, nor batched by ``torch.func.vmap``.

    u -> (grad s)^T u is linear, and its own transposed derivative along v is (grad s) v.
    """
    with torch.inference_mode(False):
        s, pull_back, *_ = torch.func.vjp(partial(user_functions.call_field, "score", score), x)
        _, transposed, *_ = torch.func.vjp(lambda u: pull_back(u)[0], torch.zeros_like(s))
        (jvp,) = transposed(v)
    return s, cast(Tensor, jvp)


def value_and_vjp(score: Score, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """s(x) and the products v^T (grad s)(x), by one pass of reverse mode for each of k directions.

    For a field that is a gradient they are the directional derivatives of ``value_and_jvp``; of a network's they are
    not. One is several times as quick as forward mode along both axes.

    Args:
        score: the field s; it must treat each point by itself.
        x: points, shape [..., 2].
        v: k directions per point, shape [k, ..., 2], or [k, 1, .., 1, 2] where they are the same for all points.

    Returns:
        s(x) [..., 2], and v^T grad s, [k, ..., 2]: entry j is sum_i v_i d s_i / d x_j.
    """
    validate.field("score", score, fields.SCORE)
    v = validate.directions("v", v, validate.points("x", x))
    with torch.inference_mode(False):
        x = x.clone() if x.is_inference() else x
        directions = [along.expand_as(x) for along in v]
        (s,), products = values_and_vjps(lambda y: (user_functions.call_field("score", score, y),), x, directions)
    return _as_grad_mode(s), _as_grad_mode(torch.stack(products))


def value_and_divergence(score: Score, x: Tensor) -> tuple[Tensor, Tensor]:
    """s(x) and its exact divergence, tr (grad s)(x), in one forward-mode pass over both axes at once.

    Args:
        score: the field s; it must treat each point by itself, as every score here does.
        x: points, shape [..., 2].

    Returns:
        s(x), shape [..., 2], and div s(x), shape [...].
    """
    s, jvp = _along_both_axes(score, x)
    return s, jvp.diagonal(dim1=0, dim2=-1).sum(-1)


def value_and_jacobian(score: Score, x: Tensor) -> tuple[Tensor, Tensor]:
    """s(x) and its derivative, J_ij = d s_i / d x_j, in one forward-mode pass over both axes at once.

    Args:
        score: the field s; it must treat each point by itself, as every score here does.
        x: points, shape [..., 2].

    Returns:
        s(x), shape [..., 2], and J, shape [..., 2, 2]: symmetric if s is a gradient, its trace the divergence.
    """
    s, jvp = _along_both_axes(score, x)
    return s, jvp.movedim(0, -1)


def divergence(score: Score, x: Tensor) -> Tensor:
    """The exact divergence tr (grad s)(x) of a field, shape [...], for points x of shape [..., 2]."""
    return value_and_divergence(score, x)[1]


def _along_both_axes(score: Score, x: Tensor) -> tuple[Tensor, Tensor]:
    """s(x) [..., 2], and d s / d x_1 and d s / d x_2 stacked, [2, ..., 2]."""
    validate.field("score", score, fields.SCORE)
    validate.points("x", x)
    axes = torch.eye(2, dtype=x.dtype, device=x.device).view(2, *(1,) * (x.ndim - 1), 2)
    if (found := _its_own(score, x, axes)) is not None:
        return found
    s, jvp = value_and_jvp(score, torch.stack([x, x]), axes.expand(2, *x.shape))
    return s[0], jvp


def _its_own(score: Score, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor] | None:
    """What the score's own ``with_tangents`` returns, if it has one."""
    own: Callable[[Tensor, Tensor], tuple[Tensor, Tensor] | None] | None = getattr(score, "with_tangents", None)
    return None if own is None else own(x, v)
