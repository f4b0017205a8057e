"""The check of samplers that are affine on a normal law: Langevin, annealed Langevin, the reverse SDE and its flow."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.testing.affine_evidence import N_TESTS, AffineEvidence, extrapolated, fit
from toylab.testing.affine_law import AffineLaw, Normal
from toylab.testing.affine_slips import (
    annealed_law,
    annealed_slips,
    flow_law,
    langevin_law,
    reverse_law,
    reverse_slips,
    scaled_law,
    times_of,
)
from toylab.testing.claims import AnnealedLangevin, Langevin, ProbabilityFlow, ReverseSDE
from toylab.testing.estimate import threshold
from toylab.testing.formula import percent
from toylab.testing.noise_slips import explain_langevin, explain_shape
from toylab.testing.report import Finding, Report
from toylab.testing.sampler_contract import Run, check_call, check_draws, ends

N_STEPS = (64, 256)  # of two reverse runs
_VISIBLE = 0.1  # a slip of ten percent in the drift, or in the size of the noise, must be seen
_LIKE = 0.02  # relative, to be called by the name of a known slip
_SLIP = 0.05  # that is computed, from which the least visible one follows
_FARTHEST = 300.0  # standard deviations of the law that starts are spread over at the most


@dataclass(frozen=True, eq=False)
class Problem:
    """What a sampler claims to be, on a normal law.

    Attributes:
        law: that law.
        start: of the chains: mean and standard deviation along the axes, each [2].
        right: the map that is claimed.
        base: the same with the error of some steps, from which ``larger`` differ.
        larger: the same with a few percent more drift, and with more noise.
        slips: known ones, in words, which cost a moment: as the last run has them, and in the limit of small steps.
        all_visible: whether each of them must be told from the map that is claimed.
        explain: other words for a wrong map.
    """

    law: Normal
    start: tuple[Tensor, Tensor]
    right: AffineLaw
    base: AffineLaw
    larger: tuple[AffineLaw, ...]
    slips: Callable[[], dict[str, tuple[AffineLaw, AffineLaw]]] = dict
    all_visible: bool = False
    explain: Callable[[AffineEvidence, float], str] = lambda found, z: ""


def check_affine(runs: list[Run], problem: Problem, how: str, n: int, seed: int) -> Report:
    """Report on a sampler.

    Args:
        runs: the sampler; if there are two, with the numbers of steps of ``N_STEPS``.
        problem: what it claims.
        how: it is called, in words.
        n: chains.
        seed: of the starts and the noise.
    """
    law, noisy = problem.law, bool((problem.right.noise > 0).any())
    mean, std = problem.start
    g = torch.Generator().manual_seed(seed)
    x = (mean + std * torch.randn(n, 2, dtype=torch.float64, generator=g, device="cpu")) @ law.axes.T
    findings = [check_call(runs[0], x, how)]
    if not findings[-1].passed:
        return Report(tuple(findings))
    findings += check_draws(runs[0], x, noisy)
    if not findings[-1].passed:
        return Report(tuple(findings))
    try:
        found = [fit(x, ends(run, x, seed + 1 + k), law.axes) for k, run in enumerate(runs)]
    except Exception as error:  # that it did not raise of a few chains
        findings.append(Finding("ends", False, str(error)))
        return Report(tuple(findings))
    seen = found[0] if len(found) == 1 else extrapolated(*found)
    z = threshold(N_TESTS)
    findings.append(_check_map(seen, found[-1], problem, z, lambda: _forgets(runs[0], x)))
    if not seen.silent:
        findings += [*([_check_shape(seen, z)] if noisy else []), _check_others(seen, z), _check_bent(seen, z)]
    return Report(tuple(findings), n=n)


def _check_map(
    found: AffineEvidence, last: AffineEvidence, problem: Problem, z: float, forgets: Callable[[], str]
) -> Finding:
    name, right = "drift and noise", problem.right
    if bool(found.off(right, z).any()):
        lost = forgets()
        if lost.startswith("chains"):
            return Finding(name, False, lost)
        found, last = (seen.without_slopes() if lost else seen for seen in (found, last))
        known = [
            words
            for words, (own, limit) in problem.slips().items()
            if not last.off(own, z, _LIKE).any() or not found.off(limit, z, _LIKE).any()
        ]
        words = " or ".join(known) or problem.explain(found, z) or (not lost and _describe(found, right))
        return Finding(name, False, "; ".join(part for part in (lost, words) if part))
    visible = [_SLIP / max(found.distance(law, problem.base, z), 1e-9) for law in problem.larger]
    told = f"as claimed; a slip of {percent(max(visible))} would have been seen"
    slips = problem.slips() if problem.all_visible else {}
    hidden = [words for words, (slip, _) in slips.items() if 1e-6 < found.distance(slip, problem.base, z) < 1]
    if max(visible) > _VISIBLE or hidden:
        blind = f"; nor could it be told whether {hidden[0]}" if hidden else ""
        return Finding(name, False, f"{told}{blind}. {_MORE_OR_FEWER}", max(visible), undecided=True)
    return Finding(name, True, told, max(visible))


_MORE_OR_FEWER = "Give more chains by n=, or fewer steps per call: many forget what each of them did"


def _forgets(run: Run, x: Tensor) -> str:
    """In words, if the ends do not depend on the start of their chain."""
    few = x[:2000]
    here, there = ends(run, few, 1), ends(run, few.flip(0), 1)
    if torch.equal(here, there):
        return "the starts are not used: it moves points of its own, where x is handed over"
    moved = ends(run, torch.where(torch.arange(len(few), device="cpu")[:, None] < 1, few + 1.0, few), 1)
    changed = (moved != here).any(-1)
    if int(changed.sum()) == 1 and not bool(changed[0]):
        return "chains change places: the end of a chain is that of another's start"
    return ""


def _describe(found: AffineEvidence, right: AffineLaw) -> str:
    """What was measured, where no slip is known."""
    expected, measured = found.vector(right), found.map.mean

    def both(part: slice | list[int]) -> str:
        values, wanted = (", ".join(f"{v:.4g}" for v in part_of[part].tolist()) for part_of in (measured, expected))
        return f"({values}) where ({wanted}) is right"

    return (
        f"on a normal law, along the axes of its covariance, x - m is multiplied by {both([0, 3])}, the mean of the "
        f"ends is {both([4, 5])}, and the variance of the noise {both([6, 9])}"
    )


def _check_shape(found: AffineEvidence, z: float) -> Finding:
    name = "law of the noise"
    if not bool(found.shape.is_off(0.0, z).any()):
        return Finding(name, True, "normal, by its third and fourth moments")
    return Finding(name, False, explain_shape(found.shape))


def _check_others(found: AffineEvidence, z: float) -> Finding:
    name = "each chain by itself"
    if not bool(found.others.is_off(0.0, z).any()):
        return Finding(name, True, "the start and the noise of a chain do not move the next one")
    return Finding(name, False, "the end of a chain depends on the start or the noise of the one before it in x")


def _check_bent(found: AffineEvidence, z: float) -> Finding:
    name, off = "steps far out", found.bent.is_off(0.0, z)
    if not bool(off.any()):
        return Finding(name, True, "the drift is linear in the score, and the noise the same everywhere")
    what = "the drift is not linear in the score (is it clipped, or a step refused?)" if bool(off[:8].any()) else ""
    size = "the size of the noise depends on where a chain is" if bool(off[8:].any()) else ""
    return Finding(name, False, "; ".join(words for words in (what, size) if words))


def langevin_problem(claim: Langevin) -> Problem:
    """On a law whose lesser standard deviation is that of one to two steps of noise."""
    eps = claim.step_size * max(1.0, claim.temperature)
    law = Normal(eps * min(max(1.0, claim.n_steps / 4), 2.0))
    right = langevin_law(claim, law)
    return Problem(
        law,
        _start(law.mean, law.variances, right),
        right,
        right,
        (langevin_law(claim, law, drift=1 + _SLIP), langevin_law(claim, law, noise=(1 + _SLIP) ** 2)),
        explain=lambda found, z: explain_langevin(found, claim, law, z),
    )


def annealed_problem(claim: AnnealedLangevin) -> Problem:
    """On a law with the noise of the last level, for its lesser variance."""
    law = Normal(float(claim.sigmas[-1]) ** 2)
    right = annealed_law(claim, law)
    larger = annealed_law(claim, law, drift=1 + _SLIP), annealed_law(claim, law, noise=(1 + _SLIP) ** 2)
    start = _start(law.mean, law.variances, right)

    def slips() -> dict[str, tuple[AffineLaw, AffineLaw]]:
        return {words: (slip, slip) for words, slip in annealed_slips(claim, law).items()}

    return Problem(law, start, right, right, larger, slips, all_visible=True)


def reverse_problem(claim: ReverseSDE | ProbabilityFlow) -> tuple[Problem, list[Tensor]]:
    """And the times of the two runs."""
    sde, law, share = claim.sde, Normal(0.4), 1.0 if isinstance(claim, ReverseSDE) else 0.5
    end = float(sde.t_min)
    right = (reverse_law if share == 1 else flow_law)(sde, law, 1.0, end)
    grids = [times_of(sde, law, n) for n in N_STEPS]

    def slips() -> dict[str, tuple[AffineLaw, AffineLaw]]:
        own, *finer = (reverse_slips(at, share) for at in (grids[-1], *small))
        return {words: (own[words], _limit([some[words] for some in finer])) for words in own}

    base, *larger = (
        _limit([scaled_law(at, share, *scale) for at in grids]) for scale in ((1, 1), (1 + _SLIP, 1), (1, 1 + _SLIP))
    )
    small = [times_of(sde, law, 8 * n) for n in N_STEPS]

    def explain(found: AffineEvidence, z: float) -> str:
        drift, noise = found.closest(lambda drift: _limit([scaled_law(at, share, drift) for at in small]))
        fitted = _limit([scaled_law(at, share, drift, noise) for at in small])
        if bool(found.off(fitted, z, _LIKE).any()):
            return ""
        words = f"the ends are as if the term of the score were {drift:.2f} times what it should be"
        return f"{words}, and the noise {noise:.2f} times" if share == 1 else words

    alpha, sigma = float(sde.alpha(1.0)), float(sde.sigma(1.0))
    start = _start(alpha * law.mean, alpha**2 * law.variances + sigma**2, right)
    problem = Problem(law, start, right, base, tuple(larger[: 1 + (share == 1)]), slips, explain=explain)
    return problem, [torch.linspace(1.0, end, n + 1, dtype=torch.float64, device="cpu") for n in N_STEPS]


def _start(mean: Tensor, variances: Tensor, right: AffineLaw) -> tuple[Tensor, Tensor]:
    """Mean, and a standard deviation so large that the start matters at the end beside the noise."""
    wide = 3 * right.noise.sqrt() / right.slope.abs().clamp(min=1e-300)
    std = variances.sqrt()
    return mean, torch.minimum(torch.maximum(wide, std), _FARTHEST * std)


def _limit(laws: list[AffineLaw]) -> AffineLaw:
    """As ``extrapolated`` does with what was measured."""
    slope, shift, noise = (
        (4 * getattr(laws[1], part) - getattr(laws[0], part)) / 3 for part in ("slope", "shift", "noise")
    )
    return AffineLaw(slope, shift, noise.clamp(min=0))
