"""Samplers: from a score, exact or learned, to samples. Each is a pure step and a loop over a cloud of chains."""

from toylab.samplers.annealed import annealed_langevin
from toylab.samplers.chains import Chains
from toylab.samplers.langevin import langevin, langevin_step
from toylab.samplers.mala import mala, mala_start, mala_step

__all__ = ["Chains", "annealed_langevin", "langevin", "langevin_step", "mala", "mala_start", "mala_step"]
