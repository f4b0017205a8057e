"""The check of a sampler of a posterior: draws of X given A X + noise Z = y."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.guidance import MeasuredScore, pigdm, tmpd
from toylab.samplers import reverse_sde
from toylab.sde import SDE
from toylab.testing.claims import Posterior
from toylab.testing.estimate import EXACT, SEEN, threshold, threshold_of_few
from toylab.testing.formula import percent
from toylab.testing.invariance import hermite_functions
from toylab.testing.posterior_slips import explain_posterior
from toylab.testing.posterior_truth import Problem, problems
from toylab.testing.report import Finding, Report
from toylab.testing.sampler_contract import Run, check_call, check_draws, ends

Conditioned = Callable[[Problem, Tensor], Run]
"""The sampler, told of a problem and of times."""

_HOW = "sampler(p, A, y, noise, x, times, g)"
_FINER = 4  # so many times the steps in the second run
_N_CALLS = 20  # of a sampler whose chains depend on each other
_N_TESTS = 25  # a bit more than the functions of degree 2 at the most
_VISIBLE = 0.25  # a slip of a quarter in a weight, a variance, or a mean in standard deviations must be seen
_N_OF_CLOSURES = 10_000  # chains of what is ours, to compare with
_N_ASKED, _N_TRIES = 200, 4  # chains that tell whether they depend on each other, and how often half are exchanged
_MORE = "Give more chains by n="
_FINER_STEPS = (
    "The steps are too long, or the levels of the SDE end too soon, to tell: give Posterior more steps by n_steps=, or "
    "an SDE from a greater level to a smaller one. If more do not help, the pull of y is too strong at high levels"
)


@dataclass(frozen=True, eq=False)
class Means:
    """Of the functions of ``hermite_functions`` up to degree 2, in the limit of small steps, [F].

    Attributes:
        keys: component and degrees of each.
        mean: those under the posterior taken away.
        error: standard errors.
        allowance: by how much a right sampler may be off.
        z: standard errors at which a test fails.
    """

    keys: list[tuple[int, int, int]]
    mean: Tensor
    error: Tensor
    allowance: Tensor
    z: float

    @property
    def tolerance(self) -> Tensor:
        """By how much a mean may be off, [F]."""
        return self.z * self.error + self.allowance

    @property
    def is_settled(self) -> bool:
        """Whether the steps are short enough, and the levels go far enough, to tell anything."""
        return float(self.allowance.max()) <= 0.5 * _VISIBLE

    @property
    def visible_slip(self) -> float:
        """The largest that may be missed: of a weight; of means and variances, as shares of standard deviations."""
        seen = (self.z + SEEN) * self.error + self.allowance
        units = torch.tensor([math.sqrt(max(a, b, 1)) for _, a, b in self.keys], dtype=seen.dtype, device="cpu")
        return float((seen * units).max())


def check_posterior(conditioned: Conditioned, claim: Posterior, n: int, seed: int) -> Report:
    """Report on a sampler."""
    of_laws = problems(claim.sde)
    times = [
        torch.linspace(1.0, float(claim.sde.t_min), k * claim.n_steps + 1, dtype=torch.float64, device="cpu")
        for k in (1, _FINER)
    ]
    run, x = conditioned(of_laws[0], times[0]), _starts(of_laws[0], claim, n, seed)
    findings = [check_call(run, x, _HOW)]
    if not findings[-1].passed:
        return Report(tuple(findings))
    findings += check_draws(run, x, noisy=None)
    if not all(finding.passed for finding in findings):
        return Report(tuple(findings))
    for problem in of_laws:
        runs, x = [conditioned(problem, grid) for grid in times], _starts(problem, claim, n, seed)
        try:
            found = _measure(runs, problem, x, seed)
        except Exception as error:  # that it did not raise of a few chains
            return Report((*findings, Finding(f"given y, in {problem.name}", False, str(error))))
        findings.append(_check_law(found, problem, lambda: _closures(problem, claim, times, n, seed)))  # noqa: B023
        if not findings[-1].passed and not (findings[-1].undecided and found.is_settled):
            break
    return Report(tuple(findings), n=n)


def _starts(problem: Problem, claim: Posterior, n: int, seed: int) -> Tensor:
    return problem.starts(n, float(claim.sde.alpha(1.0)), torch.Generator().manual_seed(seed))


def _measure(runs: list[Run], problem: Problem, x: Tensor, seed: int) -> Means:
    """By two runs; of chains that depend on each other, by calls that do not."""
    together = not _depend(runs[0], x, seed)
    parts = [x] if together else list(x.chunk(_N_CALLS))
    values: list[list[Tensor]] = []
    for k, run in enumerate(runs):
        seeds = range(seed + 1000 * (k + 1), seed + 1000 * (k + 1) + len(parts))
        last = [ends(run, part, number) / problem.alpha for part, number in zip(parts, seeds, strict=True)]
        found = [hermite_functions(problem.posterior, y, most_degree=2) for y in last]
        keys = list(found[0])
        values.append([torch.stack(list(functions.values())) for functions in found])  # [F, n] each
    means = [torch.stack([part.mean(-1) for part in of_run]) for of_run in values]  # [calls, F]
    limit = (_FINER * means[1] - means[0]) / (_FINER - 1)
    if together:
        errors = [of_run[0].std(-1) / math.sqrt(len(x)) for of_run in values]
        error = (_FINER**2 * errors[1] ** 2 + errors[0] ** 2).sqrt() / (_FINER - 1)
        z = threshold(_N_TESTS)
    else:
        error, z = limit.std(0) / math.sqrt(len(parts)), threshold_of_few(_N_TESTS, len(parts))
    # what is left of an error of order 1, 2 or 4 is a third of the difference at the most
    of_steps = 0.5 * (means[1] - means[0]).mean(0).abs()
    return Means(keys, limit.mean(0), error, of_steps + problem.allowance + EXACT, z)


def _depend(run: Run, x: Tensor, seed: int) -> bool:
    """Whether ends depend on the starts of other chains, as those of particles do; or on no starts, as it seems."""
    half = _N_ASKED // 2
    some, *others = x[: (_N_TRIES + 2) * half].split((2 * half, *(half,) * _N_TRIES))
    here = ends(run, some, seed)
    for other in others:
        there = ends(run, torch.cat([other, some[half:]]), seed)
        if torch.equal(here, there) or not torch.equal(here[half:], there[half:]):
            return True
    return False


def _check_law(found: Means, problem: Problem, closures: Callable[[], Iterator[tuple[str, Means]]]) -> Finding:
    name = f"given y, in {problem.name}"
    off = ~(found.mean.abs() <= found.tolerance)  # nan is off
    if bool(off.any()):
        words = (
            _explain_normal(found, problem)
            if len(problem.posterior.weights) == 1
            else _explain_modes(found, off, problem.posterior, closures())
        )
        return Finding(name, False, words)
    slip = found.visible_slip
    told = f"as it should be; {percent(slip)} more in a weight, a mean or a variance would have been seen"
    if slip > _VISIBLE:
        return Finding(name, False, f"{told}. {_MORE if found.is_settled else _FINER_STEPS}", slip, undecided=True)
    return Finding(name, True, told, slip)


def _explain_normal(found: Means, problem: Problem) -> str:
    known = explain_posterior(problem, found.mean, found.tolerance)
    if known:
        return known
    by = dict(zip(found.keys, found.mean.tolist(), strict=True))
    shift = by[0, 1, 0], by[0, 0, 1]
    spread = (1 + math.sqrt(2) * by[0, a, b] - off**2 for (a, b), off in zip(((2, 0), (0, 2)), shift, strict=True))
    return (
        f"the mean is off by ({', '.join(f'{m:.2f}' for m in shift)}) standard deviations along the axes of the "
        f"posterior, and the variances are ({', '.join(f'{v:.2f}' for v in spread)}) times what they should be"
    )


def _explain_modes(found: Means, off: Tensor, q: GaussianMixture, closures: Iterator[tuple[str, Means]]) -> str:
    by = dict(zip(found.keys, found.mean.tolist(), strict=True))
    told = ", ".join(f"{float(w) + by[k, 0, 0]:.2f}" for k, w in enumerate(q.weights))
    right = ", ".join(f"{float(w):.2f}" for w in q.weights)
    if any(bool(wrong) for (_, a, b), wrong in zip(found.keys, off, strict=True) if a == b == 0):
        words = f"the weights of the modes are ({told}), where ({right}) is right"
    else:
        worst = int(((found.mean.abs() - found.tolerance) * off).argmax())
        k, a, b = found.keys[worst]
        words = f"the weights of the modes are right, and moments of degree {a + b} in mode {k + 1} are not"
    for said, other in closures:
        if bool(((found.mean - other.mean).abs() <= found.tolerance + other.tolerance).all()):
            return f"{words}: {said}"
    return f"{words}; on a normal law it is right, so that the law of the clean point given x must be taken for another"


def _closures(
    problem: Problem, claim: Posterior, times: list[Tensor], n: int, seed: int
) -> Iterator[tuple[str, Means]]:
    """Approximations that are right on normal laws, in words, and where they end."""
    p, of = problem.prior, (problem.A, problem.y, problem.noise)
    variance = float(torch.einsum("k,kii->", p.weights, p.covariances + _outer(p.means - p.weights @ p.means))) / 2
    one = "the law of the clean point given x, which has several modes, is taken for one Gaussian"
    x = _starts(problem, claim, min(n, _N_OF_CLOSURES), seed + 1)
    for words, guided in (
        (f"{one} of its mean and covariance, as in TMPD (or as of its particles without their weights)",
         tmpd(p.score, *of)),
        (f"{one} with the variance of normal data, as in PiGDM", pigdm(p.score, *of, data_std=math.sqrt(variance))),
    ):  # fmt: skip
        runs = [_guided_run(claim.sde, guided, grid) for grid in times]
        yield words, _measure(runs, problem, x, seed + 1)


def _outer(d: Tensor) -> Tensor:
    return d[:, :, None] * d[:, None, :]


def _guided_run(sde: SDE, guided: MeasuredScore, times: Tensor) -> Run:
    return lambda x, g: reverse_sde(sde, guided, x, times, generator=g, progress=False)
