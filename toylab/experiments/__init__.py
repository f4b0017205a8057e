"""The reference figures as recipes: ``run`` computes a ``Result`` of arrays and numbers, ``draw`` makes it a figure."""

from toylab.experiments import (
    annealing,
    blame,
    bugs,
    estimation,
    failures,
    fields,
    gallery,
    gradients,
    objectives,
    reference,
)
from toylab.experiments.result import Result

__all__ = [
    "Result",
    "annealing",
    "blame",
    "bugs",
    "estimation",
    "failures",
    "fields",
    "gallery",
    "gradients",
    "objectives",
    "reference",
]
