"""Losses that turn samples into a score: ``objective(score, x, generator=g)`` gives one loss per point.

``objective.offset(density)`` is the constant that makes every one of them read on one axis:
mean loss + offset = the Fisher divergence 1/2 E|s - s*|^2 that it stands for.
"""

from toylab.objectives.bounded import BoundedImplicit, WallDistance
from toylab.objectives.denoising import Denoising, NoisePrediction
from toylab.objectives.explicit import Explicit
from toylab.objectives.implicit import Implicit
from toylab.objectives.levels import ContinuousLevels, LogNormal, LogUniform, UniformTimes
from toylab.objectives.noise_conditional import NoiseConditional, NoiseConditionalExplicit
from toylab.objectives.objective import HasOffset, Objective
from toylab.objectives.sliced import FiniteDifferenceSliced, Sliced, gaussian, rademacher, sphere

__all__ = [
    "BoundedImplicit",
    "ContinuousLevels",
    "Denoising",
    "Explicit",
    "FiniteDifferenceSliced",
    "HasOffset",
    "Implicit",
    "LogNormal",
    "LogUniform",
    "NoiseConditional",
    "NoiseConditionalExplicit",
    "NoisePrediction",
    "Objective",
    "Sliced",
    "UniformTimes",
    "WallDistance",
    "gaussian",
    "rademacher",
    "sphere",
]
