"""Chains.n_evaluations against what the score itself saw, and against the count that each algorithm promises."""

import pytest
import torch

from toylab.samplers import (
    ancestral,
    annealed_langevin,
    ddim,
    euler_step,
    forward_sde,
    heun_step,
    hmc,
    kernel_score,
    langevin,
    mala,
    metropolis,
    parallel_tempering,
    predictor_corrector,
    probability_flow,
    probability_flow_adaptive,
    reflected_langevin,
    reverse_sde,
    reverse_sde_heun,
    rk4_step,
    scaled_network_langevin,
    stochastic_gradient_langevin,
)
from toylab.schedules import uniform
from toylab.sde import VE

N_STEPS, N = 7, 5
QUIET = {"progress": False}


class Seen:
    """The score of N(0, 1 + sigma^2), which counts the points it was asked for, and may be interrupted once."""

    def __init__(self, patience=None):
        self.points, self.patience = 0, patience

    def __call__(self, x, sigma=0.0):
        if self.patience is not None and self.points >= self.patience * N:
            self.patience = None
            raise KeyboardInterrupt
        self.points += x.numel() // 2
        return -x / (1 + sigma**2)


def log_prob(x):
    return -0.5 * x.square().sum(-1)


def start():
    return torch.randn(N, 2, generator=torch.Generator().manual_seed(0))


LEVELS = torch.tensor([3.0, 2.0, 1.0])
TIMES = uniform(1.0, 0.0, N_STEPS + 1)
TEMPERATURES = torch.tensor([1.0, 2.0, 4.0, 8.0])
RUNS = {
    "langevin": (lambda s: langevin(s, start(), step_size=0.1, n_steps=N_STEPS, **QUIET), N_STEPS),
    "reflected": (
        lambda s: reflected_langevin(s, start(), low=(-9, -9), high=(9, 9), step_size=0.1, n_steps=N_STEPS, **QUIET),
        N_STEPS,
    ),
    "annealed": (lambda s: annealed_langevin(s, start(), LEVELS, step_size=0.1, n_steps=N_STEPS, **QUIET), 3 * N_STEPS),
    "annealed, denoised": (
        lambda s: annealed_langevin(s, start(), LEVELS, step_size=0.1, n_steps=N_STEPS, denoise=True, **QUIET),
        3 * N_STEPS + 1,
    ),
    "mala": (lambda s: mala(log_prob, s, start(), step_size=0.1, n_steps=N_STEPS, **QUIET), N_STEPS + 1),
    "hmc": (
        lambda s: hmc(log_prob, s, start(), step_size=0.1, n_leapfrog=3, n_steps=N_STEPS, **QUIET),
        3 * N_STEPS + 1,
    ),
    "tempering": (
        lambda s: parallel_tempering(log_prob, s, start(), TEMPERATURES, step_size=0.1, n_steps=N_STEPS, **QUIET),
        4 * (N_STEPS + 1),
    ),
    "stochastic gradient": (
        lambda s: stochastic_gradient_langevin(
            lambda x, batch: s(x), start(), start(), step_size=0.1, batch_size=2, n_steps=N_STEPS, **QUIET
        ),
        N_STEPS,
    ),
    "reverse SDE": (lambda s: reverse_sde(VE(), s, start(), TIMES, **QUIET), N_STEPS),
    "reverse SDE, Heun": (lambda s: reverse_sde_heun(VE(), s, start(), TIMES, **QUIET), 2 * N_STEPS),
    "predictor-corrector": (
        lambda s: predictor_corrector(VE(), s, start(), TIMES, n_corrections=3, **QUIET),
        4 * N_STEPS,
    ),
    "ancestral": (lambda s: ancestral(VE(), s, start(), TIMES, **QUIET), N_STEPS),
    "ddim": (lambda s: ddim(VE(), s, start(), TIMES, **QUIET), N_STEPS),
    "flow, Euler": (lambda s: probability_flow(VE(), s, start(), TIMES, step=euler_step, **QUIET), N_STEPS),
    "flow, Heun": (lambda s: probability_flow(VE(), s, start(), TIMES, step=heun_step, **QUIET), 2 * N_STEPS),
    "flow, RK4": (lambda s: probability_flow(VE(), s, start(), TIMES, step=rk4_step, **QUIET), 4 * N_STEPS),
    "scaled network": (lambda s: scaled_network_langevin(s, N, n_steps=N_STEPS, **QUIET), N_STEPS),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_evaluation_is_counted(name):
    run, promised = RUNS[name]
    score = Seen()
    assert run(score).n_evaluations == promised
    assert score.points == promised * N


@pytest.mark.parametrize("name", RUNS)
def test_an_interrupted_run_tells_what_was_evaluated(name):
    patience = 4 if name == "tempering" else 3
    score = Seen(patience)
    with pytest.warns(RuntimeWarning, match="interrupted"):
        chains = RUNS[name][0](score)
    assert chains.n_evaluations == score.points // N < RUNS[name][1]


def test_metropolis_asks_for_no_score():
    assert metropolis(log_prob, start(), step_size=0.1, n_steps=N_STEPS, **QUIET).n_evaluations == 0


def test_the_forward_sde_asks_for_no_score():
    assert forward_sde(VE(), start(), TIMES.flip(0), **QUIET).n_evaluations == 0


def test_the_adaptive_flow_counts_what_it_took():
    """A first step is guessed from 2 evaluations, and each step, kept or not, takes 12 (at least)."""
    score = Seen()
    found = probability_flow_adaptive(VE(), score, start().double(), 1.0, 0.0, rtol=1e-6, atol=1e-6, **QUIET)
    assert found.n_evaluations == score.points // N
    assert found.n_evaluations > 25


def test_a_kernel_score_is_a_score():
    chains = stochastic_gradient_langevin(
        kernel_score(0.5), start(), start(), step_size=0.1, batch_size=2, n_steps=3, **QUIET
    )
    assert chains.n_evaluations == 3
