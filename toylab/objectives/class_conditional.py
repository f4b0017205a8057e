"""One network of several scores, those of the classes and that of all, by any objective over noise levels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import uniform
from toylab._internal.uncalled import refuse_class
from toylab.densities.density import Density, class_log_weights
from toylab.objectives.inputs import require_density
from toylab.objectives.objective import HasOffset, Objective
from toylab.score import NoiseConditionalScore


class ClassConditionalScore(Protocol):
    """``score(x, sigma, label)``: that of a class for each point; ``NoiseConditionalMLP(n_classes=2)`` is one."""

    def __call__(self, x: Tensor, sigma: Tensor | float, label: Tensor, /) -> Tensor:
        """The score at the points x [..., 2]; labels are whole numbers that broadcast to x[..., 0], -1 for no class."""
        ...


@dataclass(frozen=True)
class ClassConditional:
    """The loss of ``objective`` for the score s(x, sigma, k) at a class k of each point, or at none.

    The class k is drawn with the probability p(k | x), so that (x, k) has the joint law of points and classes, and is
    forgotten with the probability ``dropout``. So the minimiser has the score of each class, and without a class that
    of all: what ``guidance.classifier_free`` takes. Its mean, plus ``offset``, is

        (1 - dropout) sum_k w_k J_k + dropout J

    with J_k and J what the objective stands for, on the law of class k and on that of all.

    Source: Ho & Salimans 2022 (arXiv:2207.12598), algorithm 1.

    Args:
        objective: over noise levels, such as ``NoiseConditional(LogUniform(0.01, 20.0))``.
        labels: a density with classes, such as a ``Mixture``, whose parts they are: p(k | x) is exact; or a function of
            points [..., 2] that gives the class of each, whole numbers [...].
        dropout: probability with which the class of a point is forgotten.
    """

    objective: Objective[NoiseConditionalScore]
    labels: Density | Callable[[Tensor], Tensor]
    dropout: float = 0.1

    def __post_init__(self) -> None:
        refuse_class("objective", self.objective)
        validate.function("objective", self.objective, "NoiseConditional(sigmas)")
        if not isinstance(self.labels, Density):
            validate.function("labels", self.labels, "lambda x: (x[..., 0] > 0).long()", takes=1)
        dropout = validate.finite("dropout", self.dropout)
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}: it is a probability, between 0 and 1.")
        vars(self).update(dropout=dropout)

    def __call__(self, score: ClassConditionalScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        refuse_class("score", score)
        validate.function("score", score, "NoiseConditionalMLP(n_classes=2), by x, sigma and a class", takes=3)
        label = self.draw(x, generator=generator)
        return self.objective(_Labelled(score, label), x, generator=generator)

    def draw(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """The classes of the points x [..., 2] as the network is told them: whole numbers [...], -1 where forgotten."""
        k = self._classes(validate.points("x", x), generator)
        u = uniform(k.shape, dtype=torch.float64, device=x.device, generator=generator)
        return torch.where(u < self.dropout, -1, k)

    def offset(self, density: Density) -> float:
        """Those of ``objective`` on the law of each class and on that of all, in their shares.

            (1 - dropout) sum_k w_k offset(p_k) + dropout offset(p)

        Args:
            density: p, the law that ``labels`` is.

        Raises:
            TypeError: if the labels are no density with classes, whose laws are known, or the objective knows no
                offset.
            ValueError: if the density is another one than the labels.
        """
        require_density(density)
        if not isinstance(self.labels, Density):
            raise TypeError(
                f"labels is a {type(self.labels).__name__}: the law of each class is known of a density with classes, "
                "such as a Mixture."
            )
        if not isinstance(self.objective, HasOffset):
            raise TypeError(f"objective is a {type(self.objective).__name__}, which knows no offset.")
        _require_same(density, self.labels)
        weights: list[float] = class_log_weights(self.labels).exp().tolist()
        of_classes = sum(w * self.objective.offset(self.labels.given_class(k)) for k, w in enumerate(weights))
        return (1 - self.dropout) * of_classes + self.dropout * self.objective.offset(density)

    def _classes(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """A class per point: that of the user's function, or drawn, by inverting the cumulative sum of p(k | x)."""
        if isinstance(self.labels, Density):
            edges = self.labels.posterior(x.detach()).double().cumsum(-1)
            u = uniform(x.shape[:-1], dtype=torch.float64, device=x.device, generator=generator)
            return (u[..., None] * edges[..., -1:] >= edges[..., :-1]).sum(-1)
        k: Any = self.labels(x.detach())
        if not isinstance(k, Tensor) or k.shape != x.shape[:-1]:
            given = f"shape {list(k.shape)}" if isinstance(k, Tensor) else f"a {type(k).__name__}"
            raise ValueError(
                f"labels gives {given} for points of shape {list(x.shape)}: it must give one whole number per point, "
                f"shape {list(x.shape[:-1])}."
            )
        if k.is_floating_point() or k.is_complex():
            raise TypeError(f"labels gives {k.dtype}: it must give whole numbers, as .long() makes.")
        return k.long()


def _require_same(density: Density, labels: Density) -> None:
    """Raise ``ValueError`` unless both are one law, as far as eight draws under some noise show."""
    x = density.sample((8,), generator=torch.Generator(density.device).manual_seed(0)).double()
    if not torch.allclose(density.log_prob(x, 0.5), labels.log_prob(x, 0.5), rtol=1e-5, atol=1e-5):
        raise ValueError(f"density is {density!r} and labels {labels!r}: the points must be those of the labels.")


@dataclass(frozen=True, eq=False)
class _Labelled:
    """s(x, sigma) of a score that is told a class, with one for each point of a batch."""

    score: ClassConditionalScore
    label: Tensor

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        return self.score(x, sigma, self.label)
