"""Laws of spins and of cells: no gradient in x, but every sum over states is exact.

A room of its own: a state is a row of spins -1 or +1, or a cell of a grid, and nothing here is a density on the plane.
Every loss is a function ``loss(machine, x)`` that gives one value per point; the expectation of any of them, and the
covariance of the estimate that minimises it, are sums over all states.
"""

from toylab.discrete.asymptotics import asymptotic_covariance, expected_loss, loss_gradients
from toylab.discrete.boltzmann_machine import BoltzmannMachine
from toylab.discrete.concrete_score_matching import concrete_score_matching
from toylab.discrete.contrastive_divergence import contrastive_divergence, contrastive_divergence_gradients
from toylab.discrete.examples import ising_grid, two_spin
from toylab.discrete.gibbs import gibbs_expectation, gibbs_sweep
from toylab.discrete.grid_law import GridLaw
from toylab.discrete.grid_score_matching import GridScoreMatching
from toylab.discrete.maximum_likelihood import maximum_likelihood
from toylab.discrete.pseudo_likelihood import pseudo_likelihood
from toylab.discrete.ratio_matching import ratio_matching
from toylab.discrete.spins import all_spins

__all__ = [
    "BoltzmannMachine",
    "GridLaw",
    "GridScoreMatching",
    "all_spins",
    "asymptotic_covariance",
    "concrete_score_matching",
    "contrastive_divergence",
    "contrastive_divergence_gradients",
    "expected_loss",
    "gibbs_expectation",
    "gibbs_sweep",
    "ising_grid",
    "loss_gradients",
    "maximum_likelihood",
    "pseudo_likelihood",
    "ratio_matching",
    "two_spin",
]
