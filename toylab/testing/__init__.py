"""Is a loss what it is meant to be? ``check_objective`` tries it on a density that is known exactly.

Losses of spins, which have no score, are tried by ``check_discrete_loss`` on a Boltzmann machine.

>>> from toylab.objectives import Denoising
>>> check_objective(Denoising(0.5), sigma=0.5).passed
True
"""

from toylab.testing.objective import check_objective
from toylab.testing.report import Finding, Report
from toylab.testing.spin_truth import SPINS
from toylab.testing.spins import check_discrete_loss
from toylab.testing.truth import MIXTURE

__all__ = ["MIXTURE", "SPINS", "Finding", "Report", "check_discrete_loss", "check_objective"]
