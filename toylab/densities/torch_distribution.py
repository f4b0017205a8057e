"""Any distribution of torch as a density.

torch stops with an error if one point of a batch lies outside the support of a distribution, and so would every
sampler: here log p is -inf there. torch's formulas are never given such a point, for a nan that they make there would
come back in the derivatives.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MixtureSameFamily,
    TransformedDistribution,
    constraints,
    transform_to,
)

from toylab._internal import validate
from toylab._internal.devices import CPU, global_stream
from toylab._internal.random import integers
from toylab._internal.reverse_mode import values_and_vjps
from toylab.densities.density import Density


@dataclass(frozen=True, eq=False, repr=False)
class FromTorch(Density):
    """A 2-D distribution of ``torch.distributions``; its score and divergence come by automatic differentiation.

    Outside its support log p is -inf, and score and divergence are nan. On the edge of the support log p is what torch
    says, and the derivatives are one-sided where torch has them. Only its clean law is known: sigma > 0 is refused with
    a ``ValueError``.

    A distribution on a line in the plane, such as a Dirichlet of two categories, has its log p along the line: samplers
    that move in the plane leave it at once.

    Args:
        distribution: of event shape [2] and batch shape [], and continuous.
    """

    distribution: Distribution

    _source: torch.device = field(init=False)  # where torch draws; ``to`` moves what was drawn
    _noted: ClassVar = Density._noted | {"_source"}

    def __post_init__(self) -> None:
        if not isinstance(self.distribution, Distribution):
            raise TypeError(f"distribution is a {type(self.distribution).__name__}: give a torch Distribution.")
        event, batch = tuple(self.distribution.event_shape), tuple(self.distribution.batch_shape)
        if event != (2,) or batch != ():
            raise ValueError(
                f"distribution has event shape {list(event)} and batch shape {list(batch)}: one law on the plane has "
                "[2] and []. Two independent coordinates? Wrap them in torch.distributions.Independent(d, 1)."
            )
        if _support(self.distribution).is_discrete:
            raise ValueError(
                f"distribution is a {type(self.distribution).__name__} of discrete values: it has probabilities and no "
                "density, hence no score. Give a continuous one."
            )
        with torch.random.fork_rng(devices=[]):  # this draw only shows dtype and device
            like = self.distribution.sample()
        vars(self).update(_dtype=like.dtype, _device=like.device, _source=like.device)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """That of the distribution, which decides what dtype and device it takes; ``ValueError`` for sigma > 0.

        It is -inf outside the support, and nan at points that are nan.
        """
        self._check(x, sigma)
        log_p, _ = _evaluate(self.distribution, x)
        return torch.where(x.isnan().any(-1), math.nan, log_p)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """grad log p in the support and nan outside, shape [..., 2]; ``ValueError`` for sigma > 0."""
        return self.log_prob_and_score(x, sigma)[1]

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """div grad log p in the support and nan outside, shape [...]; ``ValueError`` for sigma > 0."""
        divergence = super().divergence(x, sigma)
        return torch.where(_evaluate(self.distribution, x)[1], divergence, math.nan)

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both in one pass."""
        self._check(x, sigma)
        with torch.inference_mode(False):
            x = x.clone() if x.is_inference() else x
            (log_p, inside), (slope,) = values_and_vjps(partial(_evaluate, self.distribution), x)
        log_p = torch.where(x.isnan().any(-1), math.nan, log_p)
        return log_p, torch.where(inside[..., None], slope, math.nan)

    def _check(self, x: Tensor, sigma: Tensor | float) -> None:
        validate.only_clean(sigma, x, "a wrapped torch distribution")
        if x.device != self._source:
            raise ValueError(
                f"x is on {x.device} and the distribution on {self._source}: give x.to({str(self._source)!r}), or wrap "
                "a distribution whose parameters are where x is."
            )

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws of the distribution, from torch's global stream, which the generator replaces during this call."""
        if generator is None:
            return self.distribution.sample(torch.Size(sample_shape)).to(dtype=self.dtype, device=self.device)
        own = generator
        if generator.device != self._source:  # then it gives the seed
            seed = int(integers(2**62, (), device=CPU, generator=generator))
            own = torch.Generator(self._source).manual_seed(seed)
        read, write = global_stream(self._source)
        with torch.random.fork_rng(devices=[] if self._source == CPU else [self._source]):
            write(own.get_state())
            x = self.distribution.sample(torch.Size(sample_shape))
            own.set_state(read())
        return x.to(dtype=self.dtype, device=self.device)


def from_torch(distribution: Distribution) -> FromTorch:
    """Wrap any 2-D ``torch.distributions`` object: its log_prob and draws, and the score by autograd.

    For a mixture of Gaussians take ``GaussianMixture.from_torch``, which knows the noised laws too.

    Outside its support log p is -inf and the score nan, so that Metropolis samplers refuse to go there.

    Raises:
        ValueError: unless its event shape is [2] and its batch shape [], and if its values are discrete.

    >>> from torch.distributions import Independent, Uniform
    >>> p = from_torch(Independent(Uniform(torch.zeros(2), torch.ones(2)), 1))
    >>> p.log_prob(torch.tensor([[0.5, 0.5], [0.5, 1.5]]))
    tensor([0., -inf])
    """
    return FromTorch(distribution)


def _evaluate(distribution: Distribution, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x), -inf outside the support, and whether x lies in the support: both of the shape of a batch of events.

    The law may be made of others, of which each has a support of its own: so they are taken apart, as torch does it.
    """
    if x.numel() == 0:  # torch's constraints cannot look at no points
        nothing = x.sum(-1)
        return nothing, nothing == 0
    if isinstance(distribution, Independent):
        log_p, inside = _evaluate(distribution.base_dist, x)
        return _sum(log_p, distribution.reinterpreted_batch_ndims), _all(inside, distribution.reinterpreted_batch_ndims)
    if isinstance(distribution, MixtureSameFamily):
        x = x.unsqueeze(-1 - len(distribution.event_shape))
        log_p, inside = _evaluate(distribution.component_distribution, x)
        log_weights = torch.log_softmax(distribution.mixture_distribution.logits, -1)
        return (log_p + log_weights).logsumexp(-1), inside.any(-1)
    if isinstance(distribution, TransformedDistribution) and _has_no_formula(distribution):
        return _pull_back(distribution, x)
    support = _support(distribution)
    inside, x = _move_inside(support, x, distribution.sample)
    unchecked = copy.copy(distribution)
    unchecked._validate_args = False  # nothing is left to refuse, and to look at values is more than vmap can
    log_p = unchecked.log_prob(x)
    if not _is_everything(support):  # torch counts an edge as inside, even where its density is 0
        inside = inside & (log_p > -math.inf)
    return torch.where(inside, log_p, -math.inf), inside


def _pull_back(distribution: TransformedDistribution, y: Tensor) -> tuple[Tensor, Tensor]:
    """The same for Y = T(X): log p_Y(y) = log p_X(x) - log |det T'(x)|, x = T^-1(y), for one T after the other.

    torch asks whether y is in the range of the last T alone; an x outside the domain of an earlier one is outside too.
    """
    inside, y = _move_inside(_support(distribution), y)
    n = len(distribution.event_shape)
    log_det = torch.zeros((), dtype=y.dtype, device=y.device)
    for transform in reversed(distribution.transforms):
        in_range, y = _move_inside(transform.codomain, y)
        inside = inside & _all(in_range, n - transform.codomain.event_dim)
        x = transform.inv(y)
        n += transform.domain.event_dim - transform.codomain.event_dim
        log_det = log_det + _sum(transform.log_abs_det_jacobian(x, y), n - transform.domain.event_dim)
        y = x
    log_p, in_support = _evaluate(distribution.base_dist, y)
    n -= len(distribution.base_dist.event_shape)
    inside = inside & _all(in_support, n)
    return torch.where(inside, _sum(log_p, n) - log_det, -math.inf), inside


def _has_no_formula(distribution: TransformedDistribution) -> bool:
    """Whether its log p is that of the transformation; a half-normal law, of a T without an inverse, has its own."""
    return type(distribution).log_prob is TransformedDistribution.log_prob


def _support(distribution: Distribution) -> constraints.Constraint:
    """Where the density is positive; everywhere if the distribution does not say."""
    try:
        return distribution.support or constraints.real_vector
    except NotImplementedError:
        return constraints.real_vector


def _is_everything(support: constraints.Constraint) -> bool:
    inner: object = support
    while isinstance(inner, constraints.independent):
        inner = inner.base_constraint
    return inner is constraints.real


def _move_inside(
    support: constraints.Constraint, x: Tensor, draw: Callable[[], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Whether x lies in the support, and x with some point of the support in place of what does not.

    Where torch knows no such point it is a draw, if there is one to take.
    """
    inside = support.check(x)
    try:
        inner = transform_to(support)(torch.zeros_like(x))
    except NotImplementedError:
        if draw is None:
            return inside, x
        with torch.random.fork_rng(devices=[]):
            inner = draw().to(x)
    return inside, torch.where(inside[(..., *(None,) * support.event_dim)], x, inner)


def _sum(values: Tensor, n: int) -> Tensor:
    """The sum over the last n dimensions."""
    return values.flatten(-n).sum(-1) if n else values


def _all(values: Tensor, n: int) -> Tensor:
    """Whether all are true over the last n dimensions."""
    return values.flatten(-n).all(-1) if n else values
