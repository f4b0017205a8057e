"""What mypy must accept and refuse, checked by ``mypy --strict tests/static_types.py``; nothing here is run.

Each line with an ignore is a mistake: were it accepted, mypy would call the ignore unused.
"""

import torch

from toylab.densities import Banana, Mixture, two_modes
from toylab.metrics import mode_weights
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import Denoising, MaximumLikelihood, NoiseConditional, Sliced
from toylab.samplers import annealed_langevin, langevin
from toylab.schedules import geometric
from toylab.training import fit

p, x, sigmas = two_modes(), torch.zeros(5, 2), geometric(2.0, 0.1, 5)

# a score of x alone is no noise-conditional score, and the other way round
annealed_langevin(p.score, x, sigmas, step_size=0.1, n_steps=3)
annealed_langevin(NoiseConditionalMLP(), x, sigmas, step_size=0.1, n_steps=3)
annealed_langevin(ScoreMLP(), x, sigmas, step_size=0.1, n_steps=3)  # type: ignore[arg-type]
langevin(p.score, x, step_size=0.1, n_steps=3)
langevin(ScoreMLP(), x, step_size=0.1, n_steps=3)
langevin(NoiseConditionalMLP(), x, step_size=0.1, n_steps=3)  # type: ignore[arg-type]

# an objective trains networks that are called as it calls them
fit(ScoreMLP(), Denoising(0.5), p, held_out=lambda s: float(s(x).sum()))
fit(ScoreMLP(), lambda score, x, generator=None: score(x).square().sum(-1), p)
fit(NoiseConditionalMLP(), NoiseConditional(sigmas), p)
fit(torch.nn.Linear(2, 2), Sliced(), x)
fit(NoiseConditionalEnergyMLP(), NoiseConditional(sigmas), p)
fit(EnergyMLP(), MaximumLikelihood((-9, 9, -9, 9)), p)
fit(ScoreMLP(), MaximumLikelihood((-9, 9, -9, 9)), p)  # type: ignore[misc]
fit(ScoreMLP(), NoiseConditional(sigmas), p)  # type: ignore[misc]
fit(NoiseConditionalMLP(), Sliced(), p)  # type: ignore[misc]

# what was trained keeps its type
langevin(fit(ScoreMLP(), Sliced(), p).network, x, step_size=0.1, n_steps=3)
annealed_langevin(fit(ScoreMLP(), Sliced(), p).network, x, sigmas, step_size=0.1, n_steps=3)  # type: ignore[arg-type]

# the modes of any mixture can be counted
mode_weights(x, Mixture([0.5, 0.5], [two_modes(), Banana()]))
mode_weights(x, p.noised(0.5))

# classes and functions that were not called
fit(ScoreMLP(), Sliced, p)  # type: ignore[arg-type]
fit(ScoreMLP(), Sliced(), two_modes)  # type: ignore[arg-type]
