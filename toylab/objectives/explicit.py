"""Explicit score matching: regress on a score that is known."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.objectives.inputs import check_inputs, require_density, vectors
from toylab.objectives.squares import half_squared_distance
from toylab.score import Score


@dataclass(frozen=True)
class Explicit:
    """1/2 |s(x) - t(x)|^2, for a target score t that is known (``p.score``, or that of a kernel estimate).

    With data alone the target may be ``Points(data).noised(h).score``, the score of a kernel estimate whose width h
    is found by ``densities.bandwidth``; its minimiser is then that of ``Denoising(h)`` on the data (Vincent 2011).

    Source: Hyvarinen 2005, eq. 2 (the Fisher divergence itself, when t is the score of the data).

    Args:
        target: t, any score.
    """

    target: Score

    def __post_init__(self) -> None:
        validate.score("target", self.target)

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]. Draws nothing."""
        score = check_inputs(score, x, generator)
        return half_squared_distance(score(x), vectors(self.target(x), x, "target"))

    def offset(self, density: Density) -> float:
        """0: the mean loss is the Fisher divergence, if the target is the density's score."""
        require_density(density)
        return 0.0
