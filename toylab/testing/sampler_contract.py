"""What the code of a sampler must do, whatever its law: shape, draws, starts left as they were."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab.testing.report import Finding

Run = Callable[[Tensor, torch.Generator], object]
"""run(x, g): the sampler on some law, from starts x [n, 2]; what it gives is not checked yet."""

_N = 50  # chains of these calls


def ends(run: Run, x: Tensor, seed: int) -> Tensor:
    """Where chains from x [n, 2] end, in float64; the starts are a copy.

    Raises:
        ValueError: in words, if that is not points [n, 2], or not all are finite.
    """
    given = run(x.clone(), torch.Generator().manual_seed(seed))
    chains = getattr(given, "chains", given)  # of Particles
    y = getattr(chains, "samples", chains)
    if not isinstance(y, Tensor):
        raise ValueError(
            f"gives a {type(given).__name__}: give the last points, a tensor [n, 2], or Chains or Particles. Of a "
            "tuple take the points, as in lambda p, x, g: mine(p.score, x, generator=g)[0]"
        )
    if y.shape != x.shape:
        raise ValueError(f"gives shape {list(y.shape)} from starts {list(x.shape)}: give the last point of each chain")
    if not y.is_floating_point():
        raise ValueError(f"gives {y.dtype}: give points in the dtype of the starts, {x.dtype}")
    if not bool(y.isfinite().all()):
        raise ValueError(f"ends in nan or inf in {int((~y.isfinite().all(-1)).sum())} of {len(x)} chains")
    return y.detach().double()


def check_call(run: Run, x: Tensor, how: str) -> Finding:
    """Points [n, 2] come out, and the starts are left as they were; ``how`` it is called."""
    name, few = "call", x[:_N]
    handed = few.clone()
    try:
        ends(lambda _, g: run(handed, g), few, 0)
    except ValueError as error:
        if error.args and str(error).startswith(("gives", "ends")):
            return Finding(name, False, str(error))
        return Finding(name, False, _raised(how, error))
    except Exception as error:  # whatever the reader's sampler raises is what is reported
        return Finding(name, False, _raised(how, error))
    if not torch.equal(handed, few):
        return Finding(name, False, "it moves the starts that it was handed in place: begin with x = x.clone()")
    return Finding(name, True, "one finite point per chain; the starts are left as they were")


def check_draws(run: Run, x: Tensor, noisy: bool | None) -> list[Finding]:
    """All random numbers come from the generator, and each chain has its own; ``noisy`` says whether there are any.

    Half of the chains start at one point, and must part; where ``noisy`` is None, they are noisy if they do.
    """
    few, half = x[:_N].clone(), _N // 2
    few[:half] = few[0]
    state = torch.get_rng_state()
    first, again, other = ends(run, few, 1), ends(run, few, 1), ends(run, few, 2)
    touched = not torch.equal(state, torch.get_rng_state())
    one = first[:half]
    alike = bool((one - one[0]).abs().max() <= 1e-12 * (1 + one.abs().max()))
    each = Finding("noise of each chain", True, "there is none" if alike else "chains from one point part")
    if alike and not torch.equal(first, other):
        words = (
            "all chains get one noise: from one point they end at one point. Draw for each chain, "
            "torch.randn(x.shape, generator=g)"
        )
        each = Finding(each.check, False, words)
    noisy = not alike if noisy is None else noisy
    return [_of_generator(torch.equal(first, again), torch.equal(first, other), touched, noisy), each]


def _of_generator(repeated: bool, deaf: bool, touched: bool, noisy: bool) -> Finding:
    """From two calls with one generator, one with another, and torch's global stream before and after."""
    name = "generator"
    if not repeated:
        words = "two calls with the same generator differ: draw all random numbers from the generator given"
        return Finding(name, False, words)
    if noisy and deaf:
        source = "torch's global stream, seeded anew" if touched else "seeds of its own, or nothing is drawn"
        return Finding(name, False, f"other generators give the same ends: the numbers come from {source}")
    if touched:
        words = "it draws from torch's global stream too, or seeds it: draw from the generator alone"
        return Finding(name, False, words)
    return Finding(name, True, f"same generator, same ends{'; another one, others' if noisy else ''}")


def _raised(how: str, error: Exception) -> str:
    return f"{how} raises {type(error).__name__}: {error}"
