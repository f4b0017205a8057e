"""The check of a loss: of a score, on a bounded domain or not, of a velocity, or of an energy."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.uncalled import refuse_class, refuse_function
from toylab.densities import Density
from toylab.densities.walls import ends_at_a_wall
from toylab.discrete import BoltzmannMachine
from toylab.objectives import BoundedImplicit, ContinuousLevels, FlowMatching, MultiscaleDenoising, Objective
from toylab.objectives.levels import Levels, Weight
from toylab.paths import Interpolant, Path, VelocityField
from toylab.paths.draw import require_path
from toylab.score import Score
from toylab.testing.domain import check_domain_objective
from toylab.testing.domain_truth import DomainTruth
from toylab.testing.energy import check_energy_objective
from toylab.testing.energy_truth import EnergyTruth, asks_for_an_energy
from toylab.testing.level_free import LevelFreeTruth
from toylab.testing.report import Report
from toylab.testing.run import Draws
from toylab.testing.score import check_score_objective
from toylab.testing.truth import MIXTURE, Truth
from toylab.testing.velocity import check_velocity_objective
from toylab.testing.velocity_truth import VelocityTruth


def check_objective(
    objective: Objective[Any],
    *,
    sigma: float | Levels = 0.0,
    path: Path | Interpolant | None = None,
    weight: Weight | None = None,
    network_of: Callable[[Score], Score] | Callable[[VelocityField], VelocityField] | None = None,
    density: Density = MIXTURE,
    n: int = 400_000,
    n_most: int = 4_000_000,
    seed: int = 0,
) -> Report:
    """Check that a loss is least at the true score, velocity or energy, and rises as it should; say what is wrong.

    The error of a score is the Fisher divergence, 1/2 E|s - s*|^2; with ``path`` it is that of a velocity,
    1/2 E|v(x_t, t) - v*(x_t, t)|^2 with t uniform on [0, 1), for losses called as objective(velocity, x, generator=g).

    On ``density``, whose score s* is known at every noise level, the loss of each point is taken for fields made of s*:
    along a s*, where the minimiser must be a = 1, and at s* +- f for four other fields f. As the loss is quadratic in
    the field, slope and curvature in each direction follow exactly, with the same random numbers on both sides; what
    these numbers do to them is taken out by control variates (``testing.expansion``). Each level of a ladder, and each
    quarter of a continuous law of levels, is tested by itself. Likewise for a velocity along v* and six other fields,
    in each quarter of time; its scale is compared with that at points of the path drawn here.

    For a law that ends at a wall (``p.truncated(box)``), and for ``BoundedImplicit`` on any law, the error is
    1/2 E sum_i h_i (s_i - s*_i)^2, and is taken at the data themselves: the control variates integrate by parts, which
    leaves a term at a wall.

    A loss that asks for ``model.energy(x)`` is one of an energy, and need not be an error of anything: its gradient
    must vanish at E = -log p and lead back there, along multiples of log p, three bounded functions and a constant.
    Means are over batches, which may share their chains; persistent ones are ``model.chains``, draws of the law. How
    steep the loss is about the truth is told beside likelihood, of which contrastive divergence falls short. The value
    counts only if the loss has an offset.

    ``MultiscaleDenoising``, whose score is told no level, is held to ``objective.minimiser(density)`` at its levels.

    A pass says how small a slip would have been seen, and points are drawn until that is 5 % in the multiple of s* that
    is learned and in the scale, 10 % along other fields (20 % at one of several levels) and 10 % in the offset, in 98
    of 100 runs; for an energy 5 % in the multiple of log p and 0.1 of another function of variance 1. If ``n_most``
    points do not suffice, the finding is undecided, and the report has not passed. A right loss is rejected less than
    once in 1e6 runs: the threshold z of the N tests of a run, over all of up to three looks at them, solves
    N 2 (1 - Phi(z)) = 1e-7, with Student's law for Phi where means are over few batches, and the means of 2,500 or more
    values each are not quite normal.

    Args:
        objective: called as objective(score, x, generator=g), it gives one loss per point [n]; one from
            ``toylab.objectives`` or your own. Its ``offset(density)``, if it has one, is checked too.
        sigma: the noise level whose score the objective is to learn: 0 for that of the data, a standard deviation, or
            the levels of a noise-conditional loss (a decreasing tensor, ``LogUniform``, ``LogNormal`` or
            ``UniformTimes``).
        path: the path whose velocity the objective is to learn, such as ``paths.Linear()``; None is for a score.
        weight: what the Fisher divergence is multiplied by: lambda, a number or a function of the level, positive. None
            is 1 at a single sigma, and sigma^2 at levels. Of a velocity, a function of the time; None is 1. For a law
            that ends at a wall, h, a function of points [n, 2], which gives one weight per coordinate or one for both;
            None is 1. ``BoundedImplicit`` has its own.
        network_of: what the objective is to be called with for a score, if not the score itself: for a loss of noise
            predictions, ``lambda s: lambda x: -sigma * s(x)``; for a loss with time from data to noise,
            ``lambda v: lambda x, t: -v(x, 1 - t)``; for one that calls its network for the energy itself,
            ``lambda model: model.energy``.
        density: the truth. An objective that holds a target of its own (``Explicit``) is checked on the density of its
            target.
        n: number of points at the least, unless the first 50,000 show that something is wrong.
        n_most: number of points at the most.
        seed: of the points and of what the objective draws, so that a report is reproducible.

    Raises:
        TypeError, ValueError: for bad arguments; never for a bad objective, which is reported.
    """
    refuse_class("objective", objective)
    refuse_function("density", density)
    if isinstance(density, BoltzmannMachine):
        raise TypeError(
            "density is a BoltzmannMachine, whose spins have no score: use check_discrete_loss(loss, truth=)"
        )
    if not isinstance(density, Density):
        raise TypeError(f"density is a {type(density).__name__}: give a density, such as densities.two_modes().")
    validate.function("objective", objective, "objectives.Sliced()")
    n = validate.count("n", n, least=100)
    n_most = validate.count("n_most", n_most)
    seed = validate.count("seed", seed, least=0)
    draws = Draws(density.to("cpu"), seed)  # where all of this is computed
    if path is not None:
        if isinstance(sigma, Tensor | ContinuousLevels) or sigma != 0:
            raise ValueError(f"sigma is {sigma} beside a path: leave it out, a velocity has no noise level.")
        velocity = VelocityTruth(require_path(path), draws.density, weight)
        return check_velocity_objective(objective, velocity, network_of, draws, n, n_most)
    if isinstance(objective, FlowMatching):
        raise ValueError("objective learns a velocity: say of which path by path=, as in path=objective.path.")
    if isinstance(objective, MultiscaleDenoising) and weight is None:
        levels = objective.sigmas if not isinstance(sigma, Tensor | ContinuousLevels) else sigma
        best = objective.minimiser(draws.density)
        free = LevelFreeTruth(draws.density, levels, lambda sigma: sigma**-2, best)
        return check_domain_objective(objective, free, network_of, draws, n, n_most)
    level = math.nan  # of several
    if single := not isinstance(sigma, Tensor | ContinuousLevels):
        level = float(validate.noise_level(sigma, torch.zeros(2, device="cpu")))
    if single and asks_for_an_energy(objective, draws.density, level, network_of):
        if weight is not None:
            raise ValueError("weight is given for a loss that asks for model.energy, which has none: leave it out.")
        if ends_at_a_wall(draws.density) and level == 0:
            raise ValueError(f"{density!r} ends at a wall, where -log p is inf: an energy is checked on a law without.")
        energy = EnergyTruth(draws.density, level)
        return check_energy_objective(objective, energy, network_of, draws, n, n_most)
    clean = single and level == 0
    if clean and (isinstance(objective, BoundedImplicit) or ends_at_a_wall(draws.density)):
        if isinstance(objective, BoundedImplicit):
            if weight is not None:
                raise ValueError("weight is given beside BoundedImplicit, which has one of its own: leave it out.")
            weight = objective.weight
        domain = DomainTruth(draws.density, weight)
        return check_domain_objective(objective, domain, network_of, draws, n, n_most)
    return check_score_objective(objective, Truth(draws.density, sigma, weight), network_of, draws, n, n_most)
