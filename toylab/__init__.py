"""A laboratory for score-based generative modelling in two dimensions, where every answer is known exactly."""

from importlib.metadata import version

from toylab import densities, metrics, networks, objectives, samplers, schedules, score, sde, testing, training

__version__ = version("toylab")

__all__ = [
    "densities",
    "metrics",
    "networks",
    "objectives",
    "samplers",
    "schedules",
    "score",
    "sde",
    "testing",
    "training",
]
