"""Losses that turn samples into a score: ``objective(score, x, generator=g)`` gives one loss per point.

``objective.offset(density)`` is the constant that makes every one of them read on one axis:
mean loss + offset = the Fisher divergence 1/2 E|s - s*|^2 that it stands for.

Those of an energy, exp(-E) / Z, call ``score.energy(x)``: ``MaximumLikelihood``, whose loss + offset is the
Kullback-Leibler divergence, and what stands for it where Z is unknown.
"""

from toylab.objectives.bounded import BoundedImplicit, WallDistance
from toylab.objectives.class_conditional import ClassConditional
from toylab.objectives.contrastive_divergence import ContrastiveDivergence, PersistentContrastiveDivergence
from toylab.objectives.denoising import Denoising, NoisePrediction
from toylab.objectives.elbo_mixture import ElboMixture
from toylab.objectives.explicit import Explicit
from toylab.objectives.flow_matching import FlowMatching
from toylab.objectives.implicit import Implicit
from toylab.objectives.levels import ContinuousLevels, LogNormal, LogUniform, UniformTimes
from toylab.objectives.likelihood import LikelihoodWeighting, likelihood_levels
from toylab.objectives.maximum_likelihood import MaximumLikelihood
from toylab.objectives.multiscale_denoising import MultiscaleDenoising
from toylab.objectives.noise_conditional import NoiseConditional, NoiseConditionalExplicit
from toylab.objectives.noise_contrastive import NoiseContrastive
from toylab.objectives.objective import HasOffset, Objective
from toylab.objectives.sliced import FiniteDifferenceSliced, Sliced, gaussian, rademacher, sphere

__all__ = [
    "BoundedImplicit",
    "ClassConditional",
    "ContinuousLevels",
    "ContrastiveDivergence",
    "Denoising",
    "ElboMixture",
    "Explicit",
    "FiniteDifferenceSliced",
    "FlowMatching",
    "HasOffset",
    "Implicit",
    "LikelihoodWeighting",
    "LogNormal",
    "LogUniform",
    "MaximumLikelihood",
    "MultiscaleDenoising",
    "NoiseConditional",
    "NoiseConditionalExplicit",
    "NoiseContrastive",
    "NoisePrediction",
    "Objective",
    "PersistentContrastiveDivergence",
    "Sliced",
    "UniformTimes",
    "WallDistance",
    "gaussian",
    "likelihood_levels",
    "rademacher",
    "sphere",
]
