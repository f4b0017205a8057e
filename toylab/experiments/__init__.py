"""The reference figures as recipes: ``run`` computes a ``Result`` of arrays and numbers, ``draw`` makes it a figure."""

from toylab.experiments import annealing, estimation, failures, fields, gallery, gradients, objectives
from toylab.experiments.result import Result

__all__ = ["Result", "annealing", "estimation", "failures", "fields", "gallery", "gradients", "objectives"]
