"""Sequential Monte Carlo: a guided reverse run, whose particles are weighted for what its guidance got wrong."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import user_functions, validate
from toylab._internal.display import html_table, text_table
from toylab._internal.random import normal_like, uniform
from toylab.guidance import MeasuredScore, Twist
from toylab.samplers.chains import Chains
from toylab.samplers.loop import Leg, Recorder, follow
from toylab.sde import SDE, Time, plain_noise, require_sde


@dataclass(frozen=True, eq=False)
class Particles:
    """What ``smc`` found: n particles in independent populations of the same size, one after the other.

    Attributes:
        chains: the particles after a last resampling, all of the same weight: draws for any metric, some of them equal.
        points: the particles before it, shape [n, 2]; (weights * f(points)) summed over a population estimates E f with
            less noise.
        weights: theirs, shape [n]; those of a population sum to 1.
        log_evidence: of each population, log of an unbiased estimate of the evidence, shape [populations].
        effective_size: 1 / sum of the squared weights before each resampling, shape [steps, populations].
    """

    chains: Chains
    points: Tensor
    weights: Tensor
    log_evidence: Tensor
    effective_size: Tensor

    def __repr__(self) -> str:
        return text_table("Particles", self._summary())

    def _repr_html_(self) -> str:
        return html_table(self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        n, populations = len(self.weights), len(self.log_evidence)
        low, high = float(self.log_evidence.min()), float(self.log_evidence.max())
        least = float(self.effective_size.min()) if self.effective_size.numel() else math.nan
        return [
            ("particles", f"{n:,} in {populations:,} population{'s' if populations > 1 else ''}"),
            ("log evidence", f"{low:.4g}" if populations == 1 else f"{low:.4g} to {high:.4g}"),
            ("least effective size", f"{least:.3g} of {n // max(populations, 1):,}"),
            ("evaluations", f"{self.chains.n_evaluations:,} per particle"),
        ]


@torch.no_grad()
def smc(
    sde: SDE,
    guided: MeasuredScore,
    x: Tensor,
    times: Tensor,
    *,
    n_populations: int = 1,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Particles:
    """A particle filter for p(x_end) N(y; A x_end / alpha, noise^2 I), p the law that ``reverse_sde`` ends in.

    Each particle takes the step of the guided reverse SDE, and its weight is multiplied by

        p(x_u | x_t) q_u(y | x_u) / (r(x_u | x_t) q_t(y | x_t)),

    p the Gaussian kernel of ``reverse_sde_step`` with the score alone, r that with the guided score, q the guess of
    ``guided`` at its level, and at the end the likelihood itself. When the effective number of particles of a
    population falls below a half, it is resampled. Whatever the guess, it is exact for the given times as the
    populations grow; a good guess leaves the weights nearly equal. More times bring p to the law of the data.

    The mean of the weights, ``Particles.log_evidence``, is an unbiased estimate of the evidence under that p, whatever
    the size. Particles of a population depend on each other: error bars come from several populations. On a GPU
    its steps run kernel by kernel, several times slower than as a CUDA graph.

    Source: Wu et al. 2023, Practical and asymptotically exact conditional sampling in diffusion models
    (arXiv:2306.17775), algorithm 1, there with ancestral kernels; systematic resampling: Carpenter et al. 1999.

    Args:
        sde: such as ``VE()``, ``VP()``.
        guided: a score and a measurement, as ``tmpd``, ``pigdm`` or ``dps`` make it; the first is the best guess.
        x: where the particles start, draws of p at times[0], shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 501)``.
        n_populations: into how many independent populations the particles are parted; it divides n.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path. Its points
            have weights of their own, which are not kept.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The particles; per step one evaluation of the score, and one backward pass per row of A. Ctrl-C returns what is
        done so far.

    Raises:
        TypeError: unless ``guided`` is a score with a measurement.
        ValueError: if n_populations does not divide the number of particles, or those of a population have more than
            one measurement y.
    """
    if not isinstance(guided, MeasuredScore):
        raise TypeError(
            f"guided is a {type(guided).__name__}: give a score with its measurement, such as "
            "guidance.tmpd(p.score, A, y, noise)."
        )
    require_sde(sde)
    validate.finite_cloud("x", x)
    grid = validate.times("times", times, sde.t_min)
    if len(x) % validate.count("n_populations", n_populations):
        raise ValueError(
            f"n_populations is {n_populations} for {len(x)} particles: they do not part into populations of one size. "
            f"Give {len(x) // n_populations * n_populations or n_populations} particles."
        )
    _one_measurement_each(guided.y, len(x), n_populations)
    recorder = Recorder(x, len(grid) - 1, keep_every, label=grid[0], remedy="more times, or another guess")
    sizes: list[Tensor] = []

    def move(state: _State, t: Time, u: Time, *, last: bool) -> _State:
        x, twist, log_w, log_z = state
        v = (t - u) * float(sde.diffusion(t)) ** 2
        push, z = v * twist.gradient, v**0.5 * normal_like(x, generator)
        x = x - (t - u) * sde.drift(x, t) + v * twist.score + push + z
        log_w = log_w - twist.log_likelihood + (z.square() - (push + z).square()).sum(-1) / (2 * v)
        if last:
            clean, _ = plain_noise(sde, x, u)
            return x, twist, log_w + guided.log_likelihood(clean), log_z
        twist = _twist(sde, guided, x, u)
        state = x, twist, log_w + twist.log_likelihood, log_z
        return _resampled(state, n_populations, sizes, generator)

    def leg(pairs: list[tuple[float, float]], *, last: bool) -> Leg[_State]:
        return Leg(lambda state, times: move(state, *times, last=last), pairs, [u for _, u in pairs])

    pairs = list(zip(grid, grid[1:], strict=False))
    twist = _twist(sde, guided, x, grid[0])
    user_functions.finite_values("score", twist.score, x)
    state = x, twist, twist.log_likelihood.double(), x.new_zeros(n_populations, dtype=torch.float64)
    legs = [leg(pairs[:-1], last=False), leg(pairs[-1:], last=True)]
    state = follow("smc", legs, state, recorder, generator=generator, progress=progress)
    weights = _normalised(state[2], n_populations)[0].view(-1)
    drawn, _, _, log_z = _resampled(state, n_populations, sizes, generator, always=True)
    chains = recorder.chains(drawn, min(recorder.step + 1, len(pairs)))
    return Particles(chains, state[0], weights.to(x), log_z, torch.stack(sizes))


_State = tuple[Tensor, Twist, Tensor, Tensor]  # points, what the guess says of them, log weights, log evidence so far


def _one_measurement_each(y: Tensor, n: int, n_populations: int) -> None:
    """Raise ``ValueError`` if the particles of a population, which take each other's place, have several y."""
    if y.ndim > 1 and len(y) == n:
        rows = y.view(n_populations, n // n_populations, -1)
        if not torch.equal(rows, rows[:, :1].expand_as(rows)):
            raise ValueError(
                f"y differs within a population of {n // n_populations} particles, which take each other's place: give "
                "each population one measurement, as y.repeat_interleave(n // n_populations, 0) with n_populations = "
                "len(y)."
            )


def _twist(sde: SDE, guided: MeasuredScore, x: Tensor, t: Time) -> Twist:
    """The score and the gradient of the guess at time t, both in x, and log q(y | x)."""
    alpha, twist = float(sde.alpha(t)), guided.twist(*plain_noise(sde, x, t))
    return Twist(twist.score / alpha, twist.log_likelihood, twist.gradient / alpha)


def _normalised(log_w: Tensor, n_populations: int) -> tuple[Tensor, Tensor]:
    """The weights of each population [populations, N], summing to 1, and the log of their mean before that."""
    log_w = log_w.where(log_w.isfinite(), -math.inf).view(n_populations, -1)  # what went off to nan has no weight
    total = log_w.logsumexp(-1)
    return (log_w - total[:, None]).exp(), total - math.log(log_w.shape[-1])


def _resampled(
    state: _State, n_populations: int, sizes: list[Tensor], generator: torch.Generator | None, *, always: bool = False
) -> _State:
    """Populations with an effective size below a half are drawn anew from their weights, which become equal."""
    x, twist, log_w, log_z = state
    w, log_mean = _normalised(log_w, n_populations)
    N = w.shape[-1]
    sizes.append(1 / w.square().sum(-1))
    due = (sizes[-1] < N / 2) | always
    kept = torch.arange(N, device=x.device).expand_as(w)
    parents = torch.where(due[:, None], systematic(w, generator), kept)
    parents = (parents + N * torch.arange(n_populations, device=x.device)[:, None]).view(-1)
    log_w = torch.where(due[:, None], 0.0, log_w.view_as(w)).view(-1)
    return x[parents], Twist(*(part[parents] for part in twist)), log_w, log_z + torch.where(due, log_mean, 0.0)


def systematic(w: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Indices [.., N], drawn for weights [.., N] that sum to 1: at (k + U) / N of their cumulative sum, one U for all.

    Index i comes N w_i times, rounded up or down, and N w_i times on average.
    """
    u = uniform((*w.shape[:-1], 1), dtype=w.dtype, device=w.device, generator=generator)
    N = w.shape[-1]
    edges = w.cumsum(-1)
    places = (torch.arange(N, dtype=w.dtype, device=w.device) + u) / N * edges[..., -1:]
    return torch.searchsorted(edges, places, right=True).clamp(max=N - 1)
