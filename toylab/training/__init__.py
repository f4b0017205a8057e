"""From an objective and a network to a learned score."""

from toylab.training.averaging import WeightAverage
from toylab.training.fit import fit
from toylab.training.gradient_bias import GradientBias, gradient_bias, log_likelihood_gradient
from toylab.training.gradient_noise import gradient_noise
from toylab.training.history import History
from toylab.training.learning_rates import constant, cosine, one_cycle
from toylab.training.result import Fit, TrainingDiverged
from toylab.training.saving import load, save
from toylab.training.spread import Spread

__all__ = [
    "Fit",
    "GradientBias",
    "History",
    "Spread",
    "TrainingDiverged",
    "WeightAverage",
    "constant",
    "cosine",
    "fit",
    "gradient_bias",
    "gradient_noise",
    "load",
    "log_likelihood_gradient",
    "one_cycle",
    "save",
]
