"""Paths from noise to data, x_t between x_0 from a source and x_1 from the data, and their exact velocities.

Time runs from 0, the source, to 1, the data: the other way round than in ``toylab.sde``. A point moves along
dx/dt = v(x, t) with the marginal velocity v(x, t) = E[x'_t | x_t = x], which carries the law of x_0 into that of x_1.

Source: Lipman et al. 2023 (arXiv:2210.02747); Albergo & Vanden-Eijnden 2023 (arXiv:2209.15571); Liu et al. 2023
(arXiv:2209.03003).
"""

from toylab.paths.conversions import (
    clean_to_score,
    noise_to_score,
    score_to_clean,
    score_to_noise,
    score_to_velocity,
    velocity_to_score,
)
from toylab.paths.coupling import Coupling, independent, optimal_transport
from toylab.paths.diffusion import of_sde
from toylab.paths.draw import Draw, draw
from toylab.paths.gaussian import GaussianPath, cosine
from toylab.paths.interpolant import Interpolant
from toylab.paths.linear import Linear
from toylab.paths.path import NoisePath, Path, VelocityField

__all__ = [
    "Coupling",
    "Draw",
    "GaussianPath",
    "Interpolant",
    "Linear",
    "NoisePath",
    "Path",
    "VelocityField",
    "clean_to_score",
    "cosine",
    "draw",
    "independent",
    "noise_to_score",
    "of_sde",
    "optimal_transport",
    "score_to_clean",
    "score_to_noise",
    "score_to_velocity",
    "velocity_to_score",
]
