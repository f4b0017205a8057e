"""The warm-up of MALA: the step size at which it accepts the share of proposals that it should."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab._internal.warn import warn
from toylab.samplers.accept_reject import check_inputs, mala_init
from toylab.samplers.diagnosis import Watch, attempt
from toylab.samplers.mala import cholesky_factor, mala_step
from toylab.score import LogProb, Score


@dataclass(frozen=True, eq=False)
class WarmUp:
    """The result of a warm-up.

    Attributes:
        samples: where the chains ended, shape [n, 2]: a place to start from.
        step_size: the step to freeze.
        acceptance: mean acceptance at each step of the warm-up, shape [n_steps].
    """

    samples: Tensor
    step_size: float
    acceptance: Tensor

    def __repr__(self) -> str:
        return text_table("WarmUp", self._summary())

    def _repr_html_(self) -> str:
        return html_table(self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        later = self.acceptance[len(self.acceptance) // 2 :]
        return [
            ("chains", f"{len(self.samples):,}"),
            ("steps", f"{len(self.acceptance):,}"),
            ("step size", f"{self.step_size:.4g}"),
            ("acceptance", f"{float(later.mean()):.3f} over the second half"),
        ]


@torch.no_grad()
def mala_warm_up(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    *,
    step_size: float,
    n_steps: int = 200,
    target: float = 0.574,
    preconditioner: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> WarmUp:
    """Find the step size at which MALA accepts a share ``target`` of its proposals.

    After step k, log eps <- log eps + 5 (acceptance - target) / k^0.6, with the mean acceptance over all chains: a
    Robbins-Monro iteration. The step size returned is from the mean of log eps over the second half. A chain whose step
    still changes with its past keeps no law exactly: so freeze the step found here, as in

        warm = mala_warm_up(p.log_prob, p.score, x, step_size=0.5, generator=g)
        mala(p.log_prob, p.score, warm.samples, step_size=warm.step_size, n_steps=1000, generator=g)

    Source: Andrieu & Thoms 2008, section 4.2; 0.574 is the best acceptance of MALA in high dimension (Roberts &
    Rosenthal 1998), and not far from it in the plane.

    Args:
        log_prob: log p up to a constant, [n, 2] -> [n].
        score: grad log p.
        x: where the chains start, shape [n, 2]; log p must be finite there.
        step_size: the eps > 0 to begin with.
        n_steps: proposals per chain.
        target: share of proposals to accept, between 0 and 1.
        preconditioner: as for ``mala``.
        generator: source of randomness; None is torch's global stream.
    """
    check_inputs(log_prob, score, x)
    log_eps = math.log(validate.positive("step_size", step_size))
    n_steps = validate.count("n_steps", n_steps)
    target = validate.finite("target", target)
    if not 0 < target < 1:
        raise ValueError(f"target is {target}: an acceptance lies between 0 and 1, for example 0.574.")
    factor, here = cholesky_factor(preconditioner, x), mala_init(log_prob, score, x)
    watch = Watch(log_prob, score, "another step_size to begin with", "a higher target, which makes the steps smaller")
    accepted = here.x.new_zeros(len(x))
    acceptance: list[float] = []
    steps: list[float] = []
    for k in range(1, n_steps + 1):
        before = here
        here, kept = mala_step(log_prob, score, before, math.exp(log_eps), factor=factor, generator=generator)
        watch.look(before, here)
        accepted += kept
        acceptance.append(float(kept.double().mean()))
        log_eps += 5 * (acceptance[-1] - target) / k**0.6
        steps.append(log_eps)
    told = attempt(lambda: watch.verdict(x, here.x, accepted, n_steps, math.exp(log_eps)))
    if told:
        warn(told)
    later = steps[n_steps // 2 :]
    return WarmUp(
        here.x, math.exp(sum(later) / len(later)), torch.tensor(acceptance, dtype=torch.float64, device="cpu")
    )
