"""Replacement, or inpainting: what was measured is put into the points of a reverse run, noised as they are."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.guidance.measured import Rows, Values
from toylab.samplers.chains import Chains
from toylab.samplers.reverse_sde import reverse_sde_step
from toylab.samplers.sde_loop import follow_times
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time


@torch.no_grad()
def replacement(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    A: Rows,
    y: Values,
    noise: float,
    *,
    n_resamplings: int = 1,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """After each step of the reverse SDE the measured coordinates become y, noised to the level of the points.

    With A = U S V^T the coordinate i of V^T x_0 was measured as c_i = (U^T y)_i / s_i, with noise tau_i = noise / s_i.
    While the level l = sigma/alpha of the points x is at least tau_i, it is replaced in them by

        alpha (c_i + sqrt(l^2 - tau_i^2) z),

    and below that level it moves freely. What was measured thus has the right law at every level; what was not is moved
    by a score that sees y through fresh noise at each step, and takes a correlation for weaker than it is. For
    N(0, [[1, r], [r, 1]]) and x_1 = y without noise it ends, however small the steps, with x_2 of mean

        y (1 - sqrt(1 - r^2)) / r  in place of  y r,    and variance (1 - r^2) / (2 r) log((1 + r) / (1 - r)) > 1 - r^2:

    half of a weak correlation. If all of x_0 was measured with one tau it is exact, in the limit of small steps.

    Source: Song et al. 2021 (arXiv:2011.13456), appendix I.2, there for y without noise; Lugmayr et al. 2022, RePaint
    (arXiv:2201.09865), algorithm 1, for the resamplings. Trippe et al. 2023 (arXiv:2206.04119) show its bias.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the chains start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 501)``.
        A: shape [m, 2] with m = 1 or 2, or a row [2].
        y: shape [m], a number for m = 1, or one per chain, [n, m].
        noise: standard deviation of the noise of y, > 0.
        n_resamplings: how often each step is taken: between two of them the points are noised back to where it began,
            so that the coordinates get to know each other. 1 is the plain method.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; ``n_resamplings`` evaluations of the score per step. Some may have diverged; a warning says so.
        Ctrl-C returns what is done so far.

    Raises:
        TypeError: unless A and y are numbers.
        ValueError: if a shape is wrong, y is not finite, or noise is not positive.
    """
    validate.finite_cloud("x", x)
    validate.count("n_resamplings", n_resamplings)
    rows, values, noise = validate.measurement(A, y, noise)
    validate.measurements_of(values, x)
    U, S, Vt = torch.linalg.svd(rows, full_matrices=False)
    seen = S.div(S.max()) > 1e-12  # of two rows that say the same there is one coordinate
    c, tau, V = (part.to(x) for part in ((values @ U)[..., seen] / S[seen], noise / S[seen], Vt[seen].T))

    def replaced(x: Tensor, t: Time) -> Tensor:
        alpha, level = sde.alpha(t).to(x), (sde.sigma(t) / sde.alpha(t)).to(x)
        measured = x @ V
        excess = (level**2 - tau**2).clamp(min=0.0).sqrt()
        copy = alpha * (c + excess * normal_like(measured, generator))
        moved: Tensor = torch.where(level >= tau, copy - measured, 0.0) @ V.T
        return x + moved

    def step(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time) -> Tensor:
        a = sde.alpha(t) / sde.alpha(u)
        c2 = (sde.sigma(t) ** 2 - (a * sde.sigma(u)) ** 2).clamp(min=0.0)
        for k in range(n_resamplings):
            x = x if k == 0 else a.to(x) * x + c2.sqrt().to(x) * normal_like(x, generator)
            x = replaced(reverse_sde_step(sde, score, x, t, u, generator=generator), u)
        return x

    return follow_times(
        "replacement", step, sde, score, x, times, keep_every=keep_every, progress=progress, generator=generator,
    )  # fmt: skip
