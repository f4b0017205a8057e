"""What went wrong in a run, told from evidence: the one warning of a sampler names the likely cause, and what mends it.

Nothing here is evaluated in a run that looks right; in one that does not, the score and log p are asked at a few
clouds of points more, which is not counted.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab.score import LogProb, Score

FEWEST = 100  # proposals from which a share of them is judged
FEWEST_ALL, FEWEST_STEPS = 1000, 10  # proposals, and steps of a chain, from which an acceptance of exactly 1 is
EXPLORED = 0.3  # change of log p from the start to the end of a chain: that of two draws of a normal law is 0.7
LOW = 0.01  # acceptance below which a run is said to have gone wrong
LOOKS = 3  # steps that a Watch looks at: the ordinary ones before a CUDA graph is recorded
OUT, FAR = 1e4, (10.0, 100.0, 1000.0)  # in units of the start's size: an explosion; where a score points back
WRONG_SIGN = (
    "A score points to where log p is higher; the gradient of an energy E = -log p points the other way. If yours is "
    "that, give lambda x: -score(x)"
)


def cause_of_divergence(
    score: Score | None, start: Tensor, last: Tensor, diverged: Tensor, remedy: str, *, in_box: bool = False
) -> str:
    """Why chains diverged, and what to do.

    Args:
        score: the field at the end of the run; None if there is none, or none was evaluated.
        start: where the chains started, [n, 2].
        last: where each was finite for the last time, [n, 2].
        diverged: which of them diverged, [n].
        remedy: what to take if the steps were too large.
        in_box: whether walls kept the chains in, outside of which the score is not to be asked.
    """
    if score is None:
        return f"Take {remedy}."
    size = 1 + float(start.abs().max())
    s = score(last)
    undefined = diverged & ~s.isfinite().all(-1) & (last.abs().amax(-1) < OUT * size)
    if bool(undefined.any()):
        i = int(undefined.nonzero()[0])
        value = "nan" if bool(s[i].isnan().any()) else "inf"
        if in_box:
            return (
                f"score is {value} at {place(last[i])}, which is in the box: give low and high between which it is "
                "defined, the walls of the law itself, and starts between them."
            )
        return (
            f"score is {value} at {place(last[i])}, where a step led one of them, and smaller steps would lead there "
            "as well. A law on a bounded set? reflected_langevin keeps a box, and mala, hmc and metropolis refuse "
            "steps that leave any; or sample a noised law, p.noised(0.1). A network or a formula? Look at its value "
            "there."
        )
    if not in_box and _points_outward(score, start.mean(0), last, diverged, size):
        return (
            "score points away from the start, however far out, and carries them off at any step size. "
            f"{WRONG_SIGN}. A network? So it goes on beyond its data: start where they are."
        )
    return f"Take {remedy}."


def carried_off(score: Score, start: Tensor, x: Tensor, s: Tensor) -> str | None:
    """The warning of a run whose chains a score has begun to carry off without end; None if it looks right.

    In the law of which s is the score E s(X) . (X - c) = -2 for every c: it points back, on the whole.

    Args:
        score: the field at the end of the run.
        start: where the chains started, [n, 2].
        x: where the score was evaluated last, [n, 2].
        s: its values there, [n, 2].
    """
    if x.shape != start.shape or s.shape != start.shape:
        return None
    centre = start.mean(0)
    push = ((x - centre).double() * s.double()).sum(-1)  # in float32 it overflows long before x does
    push = push[push.isfinite()]
    if not len(push) or float(push.mean()) < 2 or float((push > 0).double().mean()) < 0.9:
        return None
    everywhere = torch.ones(len(x), dtype=torch.bool, device=x.device)
    if not _points_outward(score, centre, x, everywhere, float((x - centre).abs().max())):
        return None
    return (
        f"score points away from the start at {int((push > 0).sum())} of {len(x)} chains, and so it does however far "
        f"out: it carries them off without end. {WRONG_SIGN}."
    )


def _points_outward(score: Score, centre: Tensor, x: Tensor, of: Tensor, size: float) -> bool:
    """Whether the score points away from the centre far out, in the directions of the points x[of]."""
    size = min(size, torch.finfo(x.dtype).max ** 0.75)  # or there is nowhere farther out
    r = x - centre
    direction = torch.nn.functional.normalize(r / r.abs().amax(-1, keepdim=True).clamp(min=1e-30), dim=-1)
    for distance in FAR:
        push = (score(centre + distance * size * direction).double() * direction).sum(-1)
        push = push[of & push.isfinite()]
        if not len(push) or float((push > 0).double().mean()) < 0.9:
            return False
    return True


class Watch:
    """The acceptance of a run on log p, and whether its score agrees with log p.

    Args:
        log_prob: log p up to a constant.
        score: its gradient, as it is claimed; None if the sampler needs none.
        remedy: what to take if the steps are too large.
        remedy_for_few: the same, if they are too large for some chains only.
    """

    def __init__(
        self,
        log_prob: LogProb,
        score: Score | None,
        remedy: str = "a smaller step_size",
        remedy_for_few: str = "a smaller step_size",
    ) -> None:
        self.log_prob, self.score, self.remedy, self.remedy_for_few = log_prob, score, remedy, remedy_for_few
        self.looks, self.agreement = 0, 0.0  # sum over chains of the rise of log p times the rise that the score tells

    def look(self, before: tuple[Tensor, ...], after: tuple[Tensor, ...]) -> None:
        """Compare states x, log p(x), s(x) before and after one of the first steps; it evaluates nothing."""
        if self.score is None or self.looks == LOOKS:
            return
        self.looks += 1
        (x, log_p, s), (y, log_q, t) = before, after
        told = 0.5 * ((s + t) * (y - x)).sum(-1)
        self.agreement += float(((log_q - log_p) * told).sum())

    def verdict(self, start: Tensor, x: Tensor, accepted: Tensor, n_steps: int, step_size: float) -> str | None:
        """The warning of a run, or None if it looks right.

        Args:
            start: where the chains started, [n, 2].
            x: where they ended, [n, 2].
            accepted: how many proposals each chain accepted, [n].
            n_steps: proposals per chain.
            step_size: eps at the end.
        """
        n, n_proposals, rate = len(x), n_steps * len(x), float(accepted.double().mean()) / max(n_steps, 1)
        still = accepted == 0
        n_still = int(still.sum())
        if n_proposals >= FEWEST and rate < LOW:
            return (
                f"{int(accepted.sum())} of {n_proposals} proposals were accepted; {n_still} of {n} chains never moved. "
                f"{self._why_so_few(x, step_size, self.remedy)}"
            )
        if n_proposals >= FEWEST_ALL and rate == 1:
            why = self._why_all(start, x, step_size, n_steps)
            return f"all {n_proposals} proposals were accepted: {why}" if why else None
        if self.agreement < 0 and self._compare(torch.cat([start, x]), step_size) == "opposite":
            return f"log_prob falls along the score. {WRONG_SIGN}. What is sampled is p all the same, but slowly."
        if n_still and n * (1 - rate) ** n_steps < 1e-6:
            return (
                f"{n_still} of {n} chains never moved in {n_steps} proposals, one of them at {place(x[still][0])}, "
                f"though of all proposals a share of {rate:.2g} was accepted. "
                f"{self._why_so_few(x[still], step_size, self.remedy_for_few)}"
            )
        return None

    def _why_so_few(self, x: Tensor, step_size: float, remedy: str) -> str:
        """Why proposals from the points x are refused."""
        return {
            "rough": "A hair's breadth from where they are log_prob jumps, or is -inf or nan, so that no step size "
            "helps: look at it there.",
            "opposite": f"log_prob falls along the score. {WRONG_SIGN}.",
            "other": "score is not the gradient of log_prob, which is no error, but costs acceptance. Are both of the "
            f"same law, at the same noise level? Or take {remedy}.",
            "lost": f"So far out {x.dtype} rounds the slope of log_prob away, and nothing can be said of the score: "
            f"start nearer to the mass, take float64, or take {remedy}.",
            "same": f"Take {remedy}.",
        }[self._compare(x, step_size)]

    def _compare(self, x: Tensor, step_size: float) -> str:
        """What the gradient g of log p is to the score s at the points x: the "same", "opposite" or "other".

        By central differences over a part of a step that is short enough; if none is, "rough". "lost" if rounding is no
        smaller than the differences that the score tells.
        """
        here, s = self.log_prob(x), None if self.score is None else self.score(x)
        eps = torch.finfo(x.dtype).eps
        for part in (1e-2, 1e-4, 1e-6):
            reach = torch.full_like(x[:, 0], part * step_size**0.5)
            reach = reach if s is None else torch.minimum(reach, 0.1 / s.norm(dim=-1))
            if s is not None:
                told = s.norm(dim=-1) * reach
                lost = (eps * here.abs() > 0.1 * told) | (reach < 64 * eps * x.abs().amax(-1))
                if float((lost & here.isfinite()).double().mean()) > 0.5:
                    return "lost"
            shifts = reach[:, None, None] * torch.eye(2, device="cpu").to(x)  # [n, 2, 2], one per axis
            ahead, behind = (
                torch.stack([self.log_prob(x + side * h) - here for h in shifts.unbind(1)], -1) for side in (1, -1)
            )
            rise, jump = ahead - behind, torch.maximum(ahead.abs(), behind.abs()).amax(-1)
            fine = jump.isfinite()
            if float(fine.double().mean()) > 0.5 and float(jump[fine].median()) < 1:
                break
        else:
            return "rough"
        if s is None:
            return "same"
        g, s = (rise / (2 * reach[:, None]))[fine].double(), s[fine].double()
        cosine = float((g * s).sum() / (g.norm() * s.norm()).clamp(min=1e-300))
        ratio = float(g.norm() / s.norm().clamp(min=1e-300))
        if abs(cosine) < 0.9 or not 0.5 < ratio < 2:
            return "other"
        return "same" if cosine > 0 else "opposite"

    def _why_all(self, start: Tensor, x: Tensor, step_size: float, n_steps: int) -> str | None:
        """Why all proposals were accepted; None if that is as it should be: in few steps, or short ones of long paths.

        A path of many leapfrog steps goes far and loses no energy.
        """
        before, after = self.log_prob(start), self.log_prob(x)
        far = FAR[-1] * (1 + start.abs().amax()) * torch.ones_like(start)
        if bool((torch.cat([before, after, self.log_prob(start + far)]) == before[0]).all()):
            return f"log_prob is {float(before[0]) + 0.0:g} at every point, wherever a chain went. Does it use x?"
        if n_steps < FEWEST_STEPS or float((after - before).abs().median()) > EXPLORED:
            return None
        moved = float((x - start).norm(dim=-1).mean())
        return (
            f"the steps, of {step_size**0.5:.2g} each, are too small to explore, and in the whole run a chain went "
            f"{moved:.2g} far. Take a larger step_size, such as mala_warm_up finds."
        )


def attempt(look: Callable[[], str | None]) -> str | None:
    """A diagnosis, or None where the user's function fails at a point that it was asked for: the run is done."""
    try:
        return look()
    except Exception:
        return None


def place(x: Tensor) -> str:
    """A point [2] in words."""
    return f"({', '.join(f'{float(entry):.4g}' for entry in x)})"
