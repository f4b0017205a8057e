"""The check of a chain that is to keep p: started in p, it stays there, whatever it does in between."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.testing.acceptance_slips import explain_acceptance
from toylab.testing.affine_law import Normal
from toylab.testing.estimate import Estimate, estimate, threshold
from toylab.testing.formula import percent
from toylab.testing.report import Finding, Report
from toylab.testing.sampler_contract import Run, check_call, check_draws, ends
from toylab.testing.truth import MIXTURE

LAW = Normal(0.35)
_LOOKS = (4, 16, 64)  # repetitions after which the law is looked at
_VISIBLE = 0.1  # a slip of ten percent in the variance of the law that it would go to must be seen
_DEGREES = [(a, b) for a in range(5) for b in range(5 - a)]
_NEAR = 0.03  # error of an own variance, as chains are not linear


@dataclass(frozen=True)
class Kept:
    """The mean of a function after the run, less what it is under p, in standard deviations under p if p is normal.

    Attributes:
        component: k, from 0.
        degrees: those of the Hermite polynomials along the two axes.
        mean: and its error.
        memory: correlation of the function's values before and after.
    """

    component: int
    degrees: tuple[int, int]
    mean: Estimate
    memory: float


def hermite_means(p: GaussianMixture, start: Tensor, end: Tensor) -> list[Kept]:
    """Those of ``hermite_functions`` after a run."""
    before, after = hermite_functions(p, start), hermite_functions(p, end)
    found = []
    for (k, a, b), values in after.items():
        first = before[k, a, b]
        memory = float(torch.corrcoef(torch.stack([first, values]))[0, 1])
        found.append(Kept(k, (a, b), estimate(values, first[:, None]), memory))
    return found


def hermite_functions(p: GaussianMixture, x: Tensor, most_degree: int = 4) -> dict[tuple[int, int, int], Tensor]:
    """By k, a and b: r_k(x) He_a(w_1) He_b(w_2) less its mean under p, in its standard deviations where p is normal.

    r_k(x) is the probability of component k at x [n, 2], w the coordinates along the axes of the component in its
    standard deviations. Under p the mean is the weight of the component for a = b = 0, and 0 else, exactly.
    """
    found, shares = {}, p.posterior(x)
    for k in range(len(p.weights)):
        variances, axes = torch.linalg.eigh(p.covariances[k])
        h = _hermite((x - p.means[k]) @ axes / variances.sqrt())  # [n, 2, 5]
        for a, b in _DEGREES:
            if a + b > most_degree or (len(p.weights) == 1 and a == b == 0):
                continue
            size = math.sqrt(math.factorial(a) * math.factorial(b))
            exact = float(p.weights[k]) if a == b == 0 else 0.0
            found[k, a, b] = shares[:, k] * h[:, 0, a] * h[:, 1, b] / size - exact
    return found


def _hermite(w: Tensor) -> Tensor:
    """He_0 .. He_4 of each entry, in a new last axis."""
    return torch.stack([torch.ones_like(w), w, w**2 - 1, w**3 - 3 * w, w**4 - 6 * w**2 + 3], -1)


def check_invariant(run_on: Callable[[object], Run], n: int, seed: int) -> Report:
    """Report on a sampler; ``run_on`` a density is what moves chains once."""
    normal, g = LAW.density, torch.Generator().manual_seed(seed)
    densities = {"a normal law": normal, "a mixture of three": MIXTURE}
    starts = {name: p.to(torch.float64).sample((n,), generator=g) for name, p in densities.items()}
    run, x = run_on(normal), starts["a normal law"]
    findings = [check_call(run, x, "sampler(p, x, g)")]
    if not findings[-1].passed:
        return Report(tuple(findings))
    findings += check_draws(run, x, noisy=True)
    if not all(finding.passed for finding in findings):
        return Report(tuple(findings))
    z = threshold(len(_LOOKS) * 4 * len(_DEGREES))
    for name, p in densities.items():
        try:
            findings.append(_check_law(run_on(p), p, starts[name], name, z, seed))
        except Exception as error:  # that it did not raise of a few chains
            return Report((*findings, Finding(f"stays in {name}", False, str(error))))
        if not findings[-1].passed and not findings[-1].undecided:
            break
    else:
        return Report(tuple(findings), n=n)
    words = explain_acceptance(run_on, LAW, x[: min(n, 20_000)], seed)
    if words:
        findings.append(Finding("accept and reject", False, words))
    return Report(tuple(findings), n=n)


def _check_law(run: Run, p: GaussianMixture, start: Tensor, name: str, z: float, seed: int) -> Finding:
    title = f"stays in {name}"
    x, done, wrong, single = start, 0, False, len(p.weights) == 1
    for look in _LOOKS:
        while done < look:
            done += 1
            x = ends(run, x, seed + 1000 + done)
            if done == 1 and torch.equal(x, start):
                return Finding(title, False, "no chain moved")
        kept = hermite_means(p, start, x)
        off = [k for k in kept if k.mean.is_off(0.0, z)]
        wrong = wrong or bool(off)
        if wrong:  # and for the words, on towards the law that it keeps
            if off and (look == _LOOKS[-1] or max(k.memory for k in kept if sum(k.degrees) == 2) < 0.3):
                return Finding(title, False, f"in {done} calls {_explain(kept, off, p)}")
            continue
        slip = _visible_slip(kept, single, z)
        if slip <= _VISIBLE:
            break
    if wrong:
        return Finding(title, False, "chains of p are not those of p for a while, and are again in the long run")
    what = "mean or variance" if single else "the weight of a component"
    told = f"after {done} calls; {percent(slip)} more in {what} of the law that it keeps would have been seen"
    if slip > _VISIBLE:
        return Finding(
            title,
            False,
            f"{told}: chains hardly move. Take larger steps, more of them per call, or more chains by n=",
            slip,
            undecided=True,
        )
    return Finding(title, True, told, slip)


def _visible_slip(kept: list[Kept], single: bool, z: float) -> float:
    """What is found of the law that the chains tend to: of mean and variance, or of the weights of a mixture."""
    if single:
        told = [(k, math.sqrt(sum(k.degrees))) for k in kept if sum(k.degrees) in (1, 2)]
    else:
        told = [(k, 1.0) for k in kept if k.degrees == (0, 0)]
    return max(unit * k.mean.visible(z) / max(1 - k.memory, 1e-9) for k, unit in told)


def _explain(kept: list[Kept], off: list[Kept], p: GaussianMixture) -> str:
    """What is off, in words."""
    if len(p.weights) > 1:
        weights = [k for k in off if k.degrees == (0, 0)]
        if weights:
            told = ", ".join(f"{float(p.weights[k.component]) + k.mean.mean:.3f}" for k in kept if k.degrees == (0, 0))
            right = ", ".join(f"{float(w):.3g}" for w in p.weights)
            return f"the weights of its components become {told}, where {right} is right"
        worst = max(off, key=lambda k: abs(k.mean.mean) / k.mean.error)
        return f"moments of degree {sum(worst.degrees)} in component {worst.component + 1} become others"
    by = {k.degrees: k for k in kept}
    means = [by[1, 0], by[0, 1]]
    if any(k in off for k in means):
        told = ", ".join(f"{k.mean.mean:.3f}" for k in means)
        return f"the mean moves by ({told}) standard deviations along the axes"
    squares = [by[2, 0], by[0, 2]]
    if any(k in off for k in squares):
        return f"the variances along the axes become others: they tend to about {_own_variances(squares)}"
    worst = max(off, key=lambda k: abs(k.mean.mean) / k.mean.error)
    return f"moments of degree {sum(worst.degrees)} become others, with mean and variances as they were"


def _own_variances(squares: list[Kept]) -> str:
    """Those of the law that a chain keeps, in words, as multiples of those of p.

    Along an axis Var' - v = memory (Var - v) for a linear chain, which leads there; for others it is near.
    """
    gains = [math.sqrt(2) / max(1 - k.memory, 1e-3) for k in squares]
    own = [1 + gain * k.mean.mean for gain, k in zip(gains, squares, strict=True)]
    errors = [math.hypot(gain * k.mean.error, _NEAR) for gain, k in zip(gains, squares, strict=True)]
    told = ", ".join(f"{ratio:.2g}" for ratio in own) + " times those of p"
    variances = LAW.variances.tolist()
    steps = [4 * v * (1 - 1 / ratio) for v, ratio in zip(variances, own, strict=True)]  # of v / (1 - eps / (4 v))
    step_errors = [4 * v * e / ratio**2 for v, ratio, e in zip(variances, own, errors, strict=True)]
    of_steps, of_temperature = _apart(steps, step_errors), _apart(own, errors)
    if min(steps) > 0 and of_steps < min(3, of_temperature):
        # the lesser variance tells the step better
        return f"{told}, as those of plain Langevin in steps of {steps[0]:.1g}: is accept or reject missing?"
    return f"{told}: a temperature of {sum(own) / 2:.2g}" if of_temperature < 3 else told


def _apart(values: list[float], errors: list[float]) -> float:
    """The difference of two values in standard errors."""
    return abs(values[0] - values[1]) / math.hypot(*errors)
