"""From an objective and a network to a learned score."""

from toylab.training.averaging import WeightAverage
from toylab.training.fit import Fit, History, Spread, fit
from toylab.training.gradient_noise import gradient_noise
from toylab.training.learning_rates import constant, cosine, one_cycle
from toylab.training.saving import load, save

__all__ = [
    "Fit",
    "History",
    "Spread",
    "WeightAverage",
    "constant",
    "cosine",
    "fit",
    "gradient_noise",
    "load",
    "one_cycle",
    "save",
]
