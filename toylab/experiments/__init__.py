"""The reference figures as recipes: ``run`` computes a ``Result`` of arrays and numbers, ``draw`` makes it a figure."""

from toylab.experiments import (
    anatomy,
    annealing,
    blame,
    bugs,
    diffusion,
    estimation,
    failures,
    fields,
    gallery,
    gradients,
    likelihood,
    objectives,
    reference,
    samplers,
)
from toylab.experiments.result import Result

__all__ = [
    "Result",
    "anatomy",
    "annealing",
    "blame",
    "bugs",
    "diffusion",
    "estimation",
    "failures",
    "fields",
    "gallery",
    "gradients",
    "likelihood",
    "objectives",
    "reference",
    "samplers",
]
