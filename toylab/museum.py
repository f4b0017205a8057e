"""The bug museum: mistakes, nearly all of them published, each to be run beside the right thing.

An exhibit says what is seen, which diagnostic reveals it, and which look right all the while. Nothing here is for
any other use. All exhibits are in one file, to be read like a wall: each is a few lines of code and its label.
``testing.check_sampler`` rejects the samplers and the score by name, and ``check_objective`` the losses but the trap.
No check of a sampler sees a wrong metric or a wrong seeding, which spoil the ruler or its error bar.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from toylab._internal.devices import number
from toylab._internal.display import short
from toylab._internal.random import normal_like, uniform
from toylab.densities import Density, GaussianMixture
from toylab.samplers.scaled_network import scaled_network_langevin
from toylab.score import LogProb, NoiseConditionalScore, Score, value_and_jvp


@dataclass(frozen=True)
class Exhibit:
    """A mistake.

    Attributes:
        name: what it is.
        kind: "loss", "score", "sampler", "metric" or "seeding".
        seen_in: where.
        symptom: what it does, on ``two_modes`` unless said otherwise.
        revealed_by: the diagnostic that shows it.
        hidden_from: those that do not.
        run: the thing itself; see its own docstring for its arguments.
    """

    name: str
    kind: str
    seen_in: str
    symptom: str
    revealed_by: str
    hidden_from: str
    run: Callable[..., Any]


# Losses, called as objective(score, x, generator=g)


@dataclass(frozen=True)
class DenoisingOfWrongSign:
    """1/2 |s(x + sigma z) - z / sigma|^2: its minimiser is minus the score."""

    sigma: float

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point."""
        z = normal_like(x, generator)
        return 0.5 * (score(x + self.sigma * z) - z / self.sigma).square().sum(-1)


def implicit_with_trace_over_d(score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Finite-difference trace divided by d = 2, + 1/2 |s|^2: its minimiser is half the score."""
    h, trace = 1e-3 if x.dtype == torch.float32 else 1e-4, 0.0
    for axis in torch.eye(2, dtype=x.dtype, device=x.device):
        trace = trace + ((score(x + h * axis) - score(x - h * axis)) * axis).sum(-1) / (2 * h)
    return trace / 2 + 0.5 * score(x).square().sum(-1)


@dataclass(frozen=True)
class DenoisingOverDataSquared:
    """1/2 |s(x + sigma z) + sigma z / x^2|^2, entry by entry: the data in place of the noise level."""

    sigma: float

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point."""
        z = normal_like(x, generator)
        target = -self.sigma * z / x.square().clamp(min=0.1)  # so that a point on an axis does not overflow
        return 0.5 * (score(x + self.sigma * z) - target).square().sum(-1)


def sliced_by_elements(score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """v^T grad s v + 1/2 sum_i (v_i s_i)^2, v normal. A trap, not a bug: unbiased, since E v_i^2 = 1."""
    v = normal_like(x, generator)
    s, jvp = value_and_jvp(score, x, v)
    return (v * jvp).sum(-1) + 0.5 * (v * s).square().sum(-1)


# A score


def score_replacing_variances(density: GaussianMixture) -> NoiseConditionalScore:
    """The score of the components' means noised, sigma^2 in place of C + sigma^2 I, with the weights kept."""
    return _ScoreReplacingVariances(density.weights.to(density.device), density.means.to(density.device))


@dataclass(frozen=True, eq=False)
class _ScoreReplacingVariances:
    weights: Tensor
    means: Tensor

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        weights, means = self.weights.to(x), self.means.to(x)
        v = number(sigma, x).expand(x.shape[:-1])[..., None] ** 2
        gap = means - x[..., None, :]
        share = (weights.log() - gap.square().sum(-1) / (2 * v)).softmax(-1)
        return (share[..., None] * gap).sum(-2) / v


# Samplers: n_steps from x, without record or progress; they return the last points


@torch.no_grad()
def annealed_with_one_noise(
    score: NoiseConditionalScore,
    x: Tensor,
    sigmas: Tensor,
    *,
    step_size: float,
    n_steps: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Annealed Langevin that adds sqrt(eps) z at every level, where sqrt(alpha_i) z belongs to a step alpha_i."""
    for sigma in sigmas.tolist():
        alpha = step_size * (sigma / float(sigmas[-1])) ** 2
        for _ in range(n_steps):
            x = x + 0.5 * alpha * score(x, sigma) + step_size**0.5 * normal_like(x, generator)
    return x


@torch.no_grad()
def langevin_with_uniform_noise(
    score: Score, x: Tensor, *, step_size: float, n_steps: int, generator: torch.Generator | None = None
) -> Tensor:
    """Langevin with u uniform on [0, 1) for z normal: rand for randn."""
    for _ in range(n_steps):
        u = uniform(x.shape, dtype=x.dtype, device=x.device, generator=generator)
        x = x + 0.5 * step_size * score(x) + step_size**0.5 * u
    return x


@torch.no_grad()
def langevin_with_half_missing(
    score: Score, x: Tensor, *, step_size: float, n_steps: int, generator: torch.Generator | None = None
) -> Tensor:
    """x + eps s(x) + sqrt(eps) z: the conventions of two texts in one line, and the temperature one half."""
    for _ in range(n_steps):
        x = x + step_size * score(x) + step_size**0.5 * normal_like(x, generator)
    return x


@torch.no_grad()
def langevin_with_noise_drawn_twice(
    score: Score, x: Tensor, *, step_size: float, n_steps: int, generator: torch.Generator | None = None
) -> Tensor:
    """x + eps/2 s(x) + g z, where the diffusion coefficient g = sqrt(eps) z' is a draw itself, for sqrt(eps).

    E (z z')^2 = 1, so that mean and variance are Langevin's. But E (z z')^4 = 9, where 3 is right: the fourth cumulant
    6 eps^2 of a step adds up to 6 eps^2 / (1 - a^4) on N(0, 1), a = 1 - eps/2, beside a variance of eps / (1 - a^2),
    which is an excess kurtosis of 6 (1 - a^2) / (1 + a^2). It vanishes with the step, as 3 eps.
    """
    for _ in range(n_steps):
        g = step_size**0.5 * normal_like(x, generator)
        x = x + 0.5 * step_size * score(x) + g * normal_like(x, generator)
    return x


@torch.no_grad()
def mala_of_two_kernels(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    *,
    step_size: float,
    n_steps: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Proposals x + eps s + sqrt(eps) z, accepted as if drawn from x + eps s + sqrt(2 eps) z.

    Returns:
        The last points, and each chain's acceptance rate.
    """
    accepted = x.new_zeros(len(x))

    def log_q(to: Tensor, start: Tensor) -> Tensor:
        return -(to - start - step_size * score(start)).square().sum(-1) / (4 * step_size)

    for _ in range(n_steps):
        y = x + step_size * score(x) + step_size**0.5 * normal_like(x, generator)
        log_ratio = log_prob(y) - log_prob(x) + log_q(x, y) - log_q(y, x)
        kept = uniform(log_ratio.shape, dtype=x.dtype, device=x.device, generator=generator).log() < log_ratio
        x, accepted = torch.where(kept[:, None], y, x), accepted + kept
    return x, accepted / n_steps


@torch.no_grad()
def mala_without_a_choice(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    *,
    step_size: float,
    n_steps: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """MALA without accept or reject: plain Langevin under another name.

    Returns:
        The last points, and the acceptance rate, which is 1.
    """
    for _ in range(n_steps):
        x = x + 0.5 * step_size * score(x) + step_size**0.5 * normal_like(x, generator)
    return x, x.new_ones(len(x))


@torch.no_grad()
def flow_without_the_half(score: NoiseConditionalScore, x: Tensor, sigmas: Tensor) -> Tensor:
    """The probability flow of a variance-exploding SDE by Euler, dx = -g^2 s dt for dx = -1/2 g^2 s dt.

    Args:
        score: s(x, sigma).
        x: points from N(0, sigma_1^2 I).
        sigmas: levels, falling; along them g^2 dt is the fall of sigma^2.
    """
    for here, there in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        x = x + (here**2 - there**2) * score(x, here)
    return x


# Metrics: what a sample is held against


def distance_of_the_reference(
    x: Tensor,
    density: Density,
    distance: Callable[[Tensor, Tensor], Any],
    *,
    generator: torch.Generator | None = None,
) -> Any:  # noqa: ANN401
    """distance(y', y) of two clouds of the density, as many points as x has, for distance(x, y).

    The samples x are never looked at: it is at the two-sample floor, where right samples are, whatever they are. Moving
    x tells: the squared 2-Wasserstein distance must grow by 2 v . (mean x - mean y) + |v|^2 if x moves by v.
    """
    y = density.sample((len(x),), generator=generator)
    x = density.sample((len(x),), generator=generator)
    return distance(x, y)


def effective_fraction_in_batches(log_weights: Tensor) -> Tensor:
    """(sum w)^2 / (16 sum w^2) of each 16 weights in a row, averaged, for (sum w)^2 / (N sum w^2) of all N.

    Summed over the batches, (sum w)^2 / sum w^2 is N times this, with the same bias. No weight counts for less than one
    draw of its own batch, so that it is never below 1/16; and batches of small weights count as much as those of large
    ones. For independent weights its mean is, with B = 16 and f_k(t) = E w^k exp(-t w^2),

        int_0^inf f_0^(B-2) (f_0 f_2 + (B - 1) f_1^2) dt,

    where (E w)^2 / E w^2 is right.

    Args:
        log_weights: log w up to a constant, shape [N], N a multiple of 16.
    """
    share = log_weights.reshape(-1, 16).softmax(-1)
    return (1 / (16 * share.square().sum(-1))).mean()


# Seeding


@torch.no_grad()
def langevin_with_seeds_a_step_apart(score: Score, x: Tensor, *, step_size: float, n_steps: int, seed: int) -> Tensor:
    """Langevin whose step j draws from the seed ``seed + j``, for one stream from ``seed``.

    Each run is right. But that of ``seed + 1`` has the noise of that of ``seed`` from its second step on: they are one
    chain, a step apart. On N(0, 1) the ends of runs k and k + h are correlated by a^h, a = 1 - eps/2, and R runs are
    worth R / c independent ones, c = 1 + 2 sum_{h < R} (1 - h/R) a^h. Their own scatter does not tell: the squared
    error of their mean is c (R - 1) / (R - c) times the variance between them over R, of many runs
    (1 + a) / (1 - a) = 4 / eps - 1 times.
    """
    for j in range(n_steps):
        z = normal_like(x, torch.Generator(x.device).manual_seed(seed + j))
        x = x + 0.5 * step_size * score(x) + step_size**0.5 * z
    return x


EXHIBITS = (
    Exhibit(
        "denoising with the sign of its target turned round", "loss", "torchebm before #333",
        "learns minus the score: its energy is upside down", "the sign of the fitted slope; check_objective",
        "the loss curve, which goes down", DenoisingOfWrongSign,
    ),
    Exhibit(
        "finite-difference trace divided by d", "loss", "torchebm, approximate trace",
        "learns half the score", "the scale of the fitted slope; check_objective", "the sign",
        implicit_with_trace_over_d,
    ),
    Exhibit(
        "denoising target divided by the data squared", "loss", "a course project",
        "learns the field of another law", "the Fisher divergence; check_objective", "the loss curve, which goes down",
        DenoisingOverDataSquared,
    ),
    Exhibit(
        "slice product squared element by element (a trap, no bug)", "loss", "acids-ircam",
        "none: unbiased, as E v_i^2 = 1", "nothing but the algebra", "every bias check, rightly", sliced_by_elements,
    ),
    Exhibit(
        "noised score that replaces variances", "score", "ncsn",
        "annealed Langevin ends with a variance of 1.0 in a mode, where 2.0 is right at sigma = 1",
        "the variance in a mode; the limit sigma -> 0, which is not the clean score", "mode weights",
        score_replacing_variances,
    ),
    Exhibit(
        "annealed Langevin with sqrt(eps) noise at every level", "sampler", "toy_gradlogp",
        "all chains end in one mode: weight 1.000", "mode weights", "the variance in a mode, which is right",
        annealed_with_one_noise,
    ),
    Exhibit(
        "rand for randn", "sampler", "acids-ircam",
        "mean 8.2 where 5 is right, variance 0.09 where 1 is", "moments", "mode weights, which are Langevin's",
        langevin_with_uniform_noise,
    ),
    Exhibit(
        "drift eps with noise sqrt(eps)", "sampler", "a course project",
        "variance 0.5 where 1 is right: temperature one half", "the variance in a mode", "mode weights",
        langevin_with_half_missing,
    ),
    Exhibit(
        "MALA whose acceptance is of another kernel than its proposal", "sampler", "a course project",
        "variance 0.54 where 1 is right, with 97 % accepted at a step of 0.3",
        "the variance in a mode; detailed balance", "the acceptance rate", mala_of_two_kernels,
    ),
    Exhibit(
        "MALA without accept or reject", "sampler", "Ciela, caustics before #388",
        "variance 1.14 at eps = 0.5: plain Langevin", "the exactness test", "pictures", mala_without_a_choice,
    ),
    Exhibit(
        "probability flow without its 1/2", "sampler", "lecture slides",
        "every mode shrinks to a point: variance 0.02 where 1 is right, and weight 0.89 where 0.8 is",
        "the variance in a mode; the likelihood", "sample plots at a glance", flow_without_the_half,
    ),
    Exhibit(
        "drift and noise that do not match, for a network of sigma times the score", "sampler", "intro_dgm",
        "temperature 1/8 at the published constants: variance 0.00255 about a point noised by 0.1, where 0.01 is right",
        "the variance", "pictures", scaled_network_langevin,
    ),
    Exhibit(
        "diffusion coefficient that already draws the noise", "sampler", "iap-diffusion-labs before #28",
        "on N(0, 1) an excess kurtosis of 6 (1 - a^2) / (1 + a^2), a = 1 - eps/2: 0.31 at eps = 0.1, where 0 is right",
        "the fourth moment; check_sampler", "mean, variance and mode weights, which are Langevin's",
        langevin_with_noise_drawn_twice,
    ),
    Exhibit(
        "distance that compares the reference with itself", "metric", "nowhere that can be named",
        "the two-sample floor, whatever the samples",
        "samples moved by v, whose squared W2 must change by 2 v . (mean x - mean y) + |v|^2",
        "the two-sample floor itself; right samples", distance_of_the_reference,
    ),
    Exhibit(
        "effective sample size in batches of 16, averaged", "metric", "Megatron-LM, pull request #5420",
        "never below 1/16: 0.075 for draws uniform on [-20, 20]^2, where 0.012 is right",
        "batches of another size, which give another number", "its error bar; weights that are nearly equal",
        effective_fraction_in_batches,
    ),
    Exhibit(
        "seed that moves by one a step", "seeding", "nowhere that can be named",
        "on N(0, 1) neighbouring runs are correlated by 1 - eps/2, and the error bar of many is too small by "
        "sqrt(4 / eps - 1): 6.2 at eps = 0.1",
        "the correlation between the ends of neighbouring runs", "every check of one run, check_sampler among them",
        langevin_with_seeds_a_step_apart,
    ),
)  # fmt: skip
"""All exhibits."""


def of_kind(kind: str) -> tuple[Exhibit, ...]:
    """The exhibits of a kind: "loss", "score", "sampler", "metric" or "seeding"."""
    found = tuple(exhibit for exhibit in EXHIBITS if exhibit.kind == kind)
    if not found:
        raise ValueError(f"kind is {short(kind)}: give 'loss', 'score', 'sampler', 'metric' or 'seeding'.")
    return found
