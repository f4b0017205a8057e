"""Which acceptance a chain uses, read off one step on a normal law: what it proposed, and what it kept.

On a normal law the proposal of MALA, of Metropolis and of HMC is affine, y = A x + b + N(0, S), so that its density
q(y | x) is known from the points themselves; of HMC too, as q(x | y) / q(y | x) is the ratio of the two momenta's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.testing.affine_evidence import AffineEvidence, fit
from toylab.testing.affine_law import Normal
from toylab.testing.sampler_contract import Run, ends
from toylab.testing.watched import Watched

_OFF = 5.0  # standard errors at which a rule is not that of the chain
_UNIFORM = -0.6  # excess kurtosis of a proposal's noise, per coordinate, below which it is not normal


@dataclass(frozen=True, eq=False)
class Step:
    """One step of n chains.

    Attributes:
        rise: log p(y) - log p(x), [n].
        back: log q(x | y) - log q(y | x), [n].
        curve: |s(y)|^2 - |s(x)|^2, [n].
        kept: which proposals were, [n].
        pull: b of x + b s(x) + sqrt(a) z along both axes, [2].
        noise: a along both axes, [2].
        kurtosis: excess of the noise, per coordinate, [2].
    """

    rise: Tensor
    back: Tensor
    curve: Tensor
    kept: Tensor
    pull: Tensor
    noise: Tensor
    kurtosis: Tensor


def explain_acceptance(run_on: Callable[[object], Run], law: Normal, x: Tensor, seed: int) -> str:
    """What is wrong with accept and reject, in words; empty if it cannot be told."""
    watched = Watched(law.density, len(x))
    y = ends(run_on(watched), x, seed)
    if not watched.asked:
        taken = fit(x, y, law.axes)
        steps = f"it takes steps {_kernel(_pull(taken, law), taken.map.mean[[6, 9]])}"
        return f"log_prob is never asked for: nothing is accepted or refused, and {steps}"
    step = _one_step(law, x, y, watched.asked)
    if step is None:
        return ""
    if bool(step.kept.all()):
        return f"all proposals are kept, whatever their log_prob: it proposes {_kernel(step.pull, step.noise)}"
    if bool((step.kurtosis < _UNIFORM).all()):
        return f"the noise of the proposal is not normal: its excess kurtosis is {float(step.kurtosis.mean()):.2f}"
    return _explain(step)


def _one_step(law: Normal, x: Tensor, y: Tensor, asked: list[Tensor]) -> Step | None:
    """The step, if each chain either stayed or went to where log_prob was asked for."""
    for proposal in asked:
        kept, stayed = (y == proposal).all(-1), (y == x).all(-1)
        if bool((proposal == x).all()) or not bool((kept | stayed).all()) or not bool(kept.any()):
            continue
        density, found = law.density, fit(x, proposal, law.axes)
        slope, centre, noise = found.map.mean[:4].reshape(2, 2), found.map.mean[4:6], found.map.mean[6:].reshape(2, 2)
        precision = torch.linalg.inv(noise)

        def log_q(to: Tensor, start: Tensor) -> Tensor:
            start, to = start @ law.axes - found.centre, to @ law.axes  # noqa: B023
            gap = to - centre - start @ slope.T  # noqa: B023
            distance: Tensor = ((gap @ precision) * gap).sum(-1)  # noqa: B023
            return -0.5 * distance

        return Step(
            rise=density.log_prob(proposal) - density.log_prob(x),
            back=log_q(x, proposal) - log_q(proposal, x),
            curve=density.score(proposal).square().sum(-1) - density.score(x).square().sum(-1),
            kept=kept,
            pull=_pull(found, law),
            noise=noise.diagonal(),
            kurtosis=found.shape.mean[2:],
        )
    return None


def _explain(step: Step) -> str:
    p, q = step.rise, step.back
    rules = (
        ("", _metropolis(p + q)),
        ("", torch.sigmoid(p + q)),  # Barker's
        ("the acceptance leaves out q(x | y) / q(y | x), the proposal's own ratio (in HMC, the kinetic energy)",
         _metropolis(p)),
        ("the acceptance turns q(x | y) / q(y | x), the proposal's own ratio, round", _metropolis(p - q)),
        ("the acceptance counts q(x | y) / q(y | x), the proposal's own ratio, twice", _metropolis(p + 2 * q)),
        ("the acceptance is turned round: p(x) / p(y), where p(y) / p(x) is meant", _metropolis(-p - q)),
        ("the acceptance turns p(y) / p(x) round", _metropolis(-p + q)),
        ("the acceptance is that of half of log p: a temperature of 2", _metropolis(0.5 * (p + q))),
        ("the acceptance is that of half of log p: a temperature of 2", _metropolis(0.5 * p + q)),
        ("the acceptance counts log p twice: a temperature of 1/2", _metropolis(2 * p + q)),
        ("the acceptance leaves out p(y) / p(x)", _metropolis(q)),
    )  # fmt: skip
    for words, probability in rules:
        if _fits(step, probability):
            return words
    if _by_one_number(step):
        return "one uniform number decides for all chains: draw one for each, torch.rand(len(x), generator=g)"
    weights = _fitted(step)
    told = "the acceptance is of another kernel than the proposal"
    if not _fits(step, _metropolis(weights[0] * p + weights[1] * step.curve)):
        return f"{told}, or of another density: it is not min(1, p(y) q(x | y) / (p(x) q(y | x)))"
    # of x + b s + sqrt(a) z on a normal law: log ratio = (1 - 2 b/a) rise - b^2/(2 a) curve
    share = (1 - float(weights[0])) / 2
    pull = -2 * float(weights[1]) / share if abs(share) > 1e-3 else 0.0
    if pull <= 0:
        return told
    two = torch.tensor([1.0, 1.0], device="cpu")
    return (
        f"{told}: it proposes {_kernel(step.pull, step.noise)}, and accepts as if it had proposed "
        f"{_kernel(pull * two, pull / share * two)}"
    )


def _metropolis(log_ratio: Tensor) -> Tensor:
    return log_ratio.clamp(max=0).exp()


def _fits(step: Step, probability: Tensor) -> bool:
    """Whether proposals were kept with this probability, as far as they tell."""
    left = step.kept.double() - probability
    for weight in (torch.ones_like(left), step.rise, step.back, step.curve, step.rise.abs(), step.back.abs()):
        values = left * weight.clamp(-20, 20)
        error = float(values.std()) / len(values) ** 0.5
        if not abs(float(values.mean())) <= _OFF * error + 1e-9:
            return False
    return True


def _fitted(step: Step) -> Tensor:
    """The most likely weights of rise and curve in the log ratio, on ever finer grids."""
    ones = torch.linspace(-1, 1, 9, dtype=torch.float64, device="cpu")
    reach = torch.stack([torch.tensor(3.0, device="cpu").double(), 3 * step.back.std() / step.curve.std()])
    best = torch.zeros(2, dtype=torch.float64, device="cpu")
    for _ in range(5):
        grid = best + reach * torch.cartesian_prod(ones, ones)
        best = max(grid, key=lambda weights: _likelihood(step, weights))
        reach = reach / 3
    return best


def _likelihood(step: Step, weights: Tensor) -> float:
    probability = _metropolis(weights[0] * step.rise + weights[1] * step.curve).clamp(1e-9, 1 - 1e-9)
    return float(torch.where(step.kept, probability, 1 - probability).log().sum())


def _by_one_number(step: Step) -> bool:
    """Whether all proposals above one log ratio were kept, and all below it refused."""
    log_ratio = step.rise + step.back
    return float(log_ratio[step.kept].min()) >= float(log_ratio[~step.kept].max())


def _pull(found: AffineEvidence, law: Normal) -> Tensor:
    """b of x + b s(x), along both axes."""
    return (1 - found.map.mean[[0, 3]]) * law.variances


def _kernel(pull: Tensor, noise: Tensor) -> str:
    if float((pull / pull.mean() - 1).abs().max()) > 0.1 or float((noise / noise.mean() - 1).abs().max()) > 0.1:
        return "that are not of the form x + b s + sqrt(a) z"
    b = float(pull.mean())
    drift = "" if abs(b) < 0.02 else f" + {b:.2g} s" if b > 0 else f" - {-b:.2g} s"
    return f"x{drift} + sqrt({float(noise.mean()):.2g}) z"
