"""Is a loss a score-matching loss? ``check_objective`` tries it on a density whose score is known exactly.

>>> from toylab.objectives import Denoising
>>> check_objective(Denoising(0.5), sigma=0.5).passed
True
"""

from toylab.testing.objective import check_objective
from toylab.testing.report import Finding, Report
from toylab.testing.truth import MIXTURE

__all__ = ["MIXTURE", "Finding", "Report", "check_objective"]
