"""Is a loss what it is meant to be, a sampler what it claims, an SDE of one piece? Each is held against known laws.

Losses of spins, which have no score, are tried by ``check_discrete_loss`` on a Boltzmann machine, and losses of
concrete scores on a grid.

>>> from toylab.objectives import Denoising
>>> check_objective(Denoising(0.5), sigma=0.5).passed
True
"""

from toylab.testing.claims import AnnealedLangevin, Claim, Invariant, Langevin, Posterior, ProbabilityFlow, ReverseSDE
from toylab.testing.discrete import check_discrete_loss
from toylab.testing.grid_truth import CELLS
from toylab.testing.objective import check_objective
from toylab.testing.report import Finding, Report
from toylab.testing.sampler import check_sampler
from toylab.testing.sde import check_sde
from toylab.testing.spin_truth import SPINS
from toylab.testing.truth import MIXTURE

__all__ = [
    "CELLS",
    "MIXTURE",
    "SPINS",
    "AnnealedLangevin",
    "Claim",
    "Finding",
    "Invariant",
    "Langevin",
    "Posterior",
    "ProbabilityFlow",
    "Report",
    "ReverseSDE",
    "check_discrete_loss",
    "check_objective",
    "check_sampler",
    "check_sde",
]
