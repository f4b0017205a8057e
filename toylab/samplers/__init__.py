"""Samplers: from a score, exact or learned, to samples. Each is a pure step and a call of the loop they share."""

from toylab.samplers.accept_reject import State, mala_init
from toylab.samplers.ancestral import ancestral, ancestral_step
from toylab.samplers.annealed import annealed_langevin
from toylab.samplers.chains import Chains
from toylab.samplers.ddim import ddim, ddim_step
from toylab.samplers.falling_steps import falling_steps
from toylab.samplers.flow import flow, flow_adaptive
from toylab.samplers.forward_sde import forward_sde, forward_sde_step
from toylab.samplers.hmc import hmc, hmc_step
from toylab.samplers.kernel_score import kernel_score
from toylab.samplers.langevin import langevin, langevin_step
from toylab.samplers.likelihood import Likelihood, flow_log_likelihood, log_likelihood, prior_mismatch
from toylab.samplers.mala import mala, mala_step
from toylab.samplers.mala_warm_up import WarmUp, mala_warm_up
from toylab.samplers.metropolis import metropolis, metropolis_step
from toylab.samplers.ode_steps import euler_step, heun_step, rk4_step
from toylab.samplers.posterior_score import posterior_score
from toylab.samplers.predictor_corrector import corrector_step, predictor_corrector
from toylab.samplers.probability_flow import flow_velocity, probability_flow
from toylab.samplers.probability_flow_adaptive import probability_flow_adaptive
from toylab.samplers.reflected_langevin import reflected_langevin, reflected_langevin_step
from toylab.samplers.replacement import replacement
from toylab.samplers.reverse_sde import reverse_drift, reverse_sde, reverse_sde_step
from toylab.samplers.reverse_sde_heun import reverse_sde_heun, reverse_sde_heun_step
from toylab.samplers.scaled_network import scaled_network_langevin, temperature
from toylab.samplers.smc import Particles, smc
from toylab.samplers.starts import gaussian_start, mode_start, uniform_start
from toylab.samplers.stochastic_gradient import stochastic_gradient_langevin
from toylab.samplers.tempering import parallel_tempering, swap_step
from toylab.samplers.trace import exact_trace, hutchinson
from toylab.samplers.tweedie import clean_point, denoised

__all__ = [
    "Chains",
    "Likelihood",
    "Particles",
    "State",
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
    "falling_steps",
    "flow",
    "flow_adaptive",
    "flow_log_likelihood",
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
    "posterior_score",
    "predictor_corrector",
    "prior_mismatch",
    "probability_flow",
    "probability_flow_adaptive",
    "reflected_langevin",
    "reflected_langevin_step",
    "replacement",
    "reverse_drift",
    "reverse_sde",
    "reverse_sde_heun",
    "reverse_sde_heun_step",
    "reverse_sde_step",
    "rk4_step",
    "scaled_network_langevin",
    "smc",
    "stochastic_gradient_langevin",
    "swap_step",
    "temperature",
    "uniform_start",
]
