"""The reference figures as recipes: ``run`` computes a ``Result`` of arrays and numbers, ``draw`` makes it a figure."""

from toylab.experiments import annealing, estimation, fields, gallery
from toylab.experiments.result import Result

__all__ = ["Result", "annealing", "estimation", "fields", "gallery"]
