"""Losses that turn samples into a score: ``objective(score, x, generator=g)`` gives one loss a point.

``objective.offset(density)`` is the constant that makes every one of them read on one axis:
mean loss + offset = the Fisher divergence 1/2 E|s - s*|^2 that it stands for.
"""

from toylab.objectives.denoising import Denoising, NoisePrediction
from toylab.objectives.explicit import Explicit
from toylab.objectives.implicit import Implicit
from toylab.objectives.noise_conditional import (
    ContinuousLevels,
    LogNormal,
    LogUniform,
    NoiseConditional,
    NoiseConditionalExplicit,
    UniformTimes,
)
from toylab.objectives.sliced import FiniteDifferenceSliced, Sliced, gaussian, rademacher, sphere

__all__ = [
    "ContinuousLevels",
    "Denoising",
    "Explicit",
    "FiniteDifferenceSliced",
    "Implicit",
    "LogNormal",
    "LogUniform",
    "NoiseConditional",
    "NoiseConditionalExplicit",
    "NoisePrediction",
    "Sliced",
    "UniformTimes",
    "gaussian",
    "rademacher",
    "sphere",
]
