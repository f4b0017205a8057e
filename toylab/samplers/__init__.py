"""Samplers: from a score, exact or learned, to samples. Each is a pure step and a loop over a cloud of chains."""

from toylab.samplers.ancestral import ancestral, ancestral_step, clean_point, ddim, ddim_step
from toylab.samplers.annealed import annealed_langevin, denoised
from toylab.samplers.chains import Chains
from toylab.samplers.forward_sde import forward_sde, forward_sde_step
from toylab.samplers.hmc import hmc, hmc_step
from toylab.samplers.langevin import langevin, langevin_step
from toylab.samplers.likelihood import Likelihood, exact_trace, hutchinson, log_likelihood, prior_mismatch
from toylab.samplers.mala import WarmUp, mala, mala_init, mala_step, mala_warm_up
from toylab.samplers.metropolis import metropolis, metropolis_step
from toylab.samplers.probability_flow import (
    euler_step,
    flow_velocity,
    heun_step,
    probability_flow,
    probability_flow_adaptive,
    rk4_step,
)
from toylab.samplers.reverse_sde import (
    corrector_step,
    predictor_corrector,
    reverse_drift,
    reverse_sde,
    reverse_sde_heun,
    reverse_sde_heun_step,
    reverse_sde_step,
)
from toylab.samplers.scaled_network import scaled_network_langevin, temperature
from toylab.samplers.starts import gaussian_start, mode_start, uniform_start
from toylab.samplers.stochastic_gradient import kernel_score, stochastic_gradient_langevin
from toylab.samplers.tempering import parallel_tempering, swap_step

__all__ = [
    "Chains",
    "Likelihood",
    "WarmUp",
    "ancestral",
    "ancestral_step",
    "annealed_langevin",
    "clean_point",
    "corrector_step",
    "ddim",
    "ddim_step",
    "denoised",
    "euler_step",
    "exact_trace",
    "flow_velocity",
    "forward_sde",
    "forward_sde_step",
    "gaussian_start",
    "heun_step",
    "hmc",
    "hmc_step",
    "hutchinson",
    "kernel_score",
    "langevin",
    "langevin_step",
    "log_likelihood",
    "mala",
    "mala_init",
    "mala_step",
    "mala_warm_up",
    "metropolis",
    "metropolis_step",
    "mode_start",
    "parallel_tempering",
    "predictor_corrector",
    "prior_mismatch",
    "probability_flow",
    "probability_flow_adaptive",
    "reverse_drift",
    "reverse_sde",
    "reverse_sde_heun",
    "reverse_sde_heun_step",
    "reverse_sde_step",
    "rk4_step",
    "scaled_network_langevin",
    "stochastic_gradient_langevin",
    "swap_step",
    "temperature",
    "uniform_start",
]
