"""MALA and Langevin on the ring of eight: beside blackjax and torchebm."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.hardware_limit import wait_for
from benchmarks.measurement import Measurement
from benchmarks.peers import why_missing, why_on_the_cpu
from benchmarks.row import Row, worst
from benchmarks.timing import time_in_turns
from toylab.densities import GaussianMixture, ring
from toylab.experiments.setting import scaled_count
from toylab.samplers import langevin, mala

if TYPE_CHECKING:
    import jax

N_CHAINS, N_STEPS, STEP_SIZE = (1280, 20_000), 1000, 0.05
Run = Callable[[], tuple[Tensor, float]]
"""Runs the chains, and waits for them: where they end, [n, 2] on the CPU or a GPU, and their mean acceptance."""


def mala_rows(share: float) -> Iterator[Measurement[Row]]:
    """Beside blackjax, jitted: ``lax.scan`` over the steps, ``vmap`` over the chains, float32; and with its compiling.

    Its acceptance is counted in the carry, so that it keeps no path, like ours.
    """
    for n in N_CHAINS:
        yield _mala_beside_blackjax(n, scaled_count(N_STEPS, share), scaled_count(5, share, least=2))


def _mala_beside_blackjax(n: int, n_steps: int, repeats: int) -> Measurement[Row]:
    work = f"MALA on the ring, {n:,} × {n_steps:,}"
    rows = Row(work, "blackjax, compiled before", 1.0), Row(work, "blackjax, with compiling", 1 / 2)

    def measure() -> Iterator[Row]:
        p, found = ring(), {}
        x = p.sample((n,), generator=torch.Generator().manual_seed(0))
        theirs = blackjax_mala(p, x, STEP_SIZE, n_steps)
        ours, *both = time_in_turns(
            lambda: found.update(ours=our_mala(p, x, STEP_SIZE, n_steps)),
            lambda: found.update(theirs=theirs()),
            lambda: blackjax_mala(p, x, STEP_SIZE, n_steps)(),  # a new function is compiled anew
            repeats=repeats,
        )
        reached = f"acceptance {found['ours'][1]:.3f} and {found['theirs'][1]:.3f}"
        for row, seconds in zip(rows, both, strict=True):
            yield with_laws(replace(row, ours=ours, theirs=seconds, reached=reached), p, found, exact=True)

    return Measurement(rows, measure, why_missing("blackjax"))


def langevin_rows(share: float) -> Iterator[Measurement[Row]]:
    """Beside torchebm's ``LangevinDynamics`` on a lean energy, differentiated by autograd as it does."""
    for n in N_CHAINS:
        row = Row(f"Langevin on the ring, {n:,} × {scaled_count(N_STEPS, share):,}", "torchebm LangevinDynamics", 1 / 4)
        yield beside(
            row, our_langevin, torchebm_langevin, n, scaled_count(N_STEPS, share), scaled_count(5, share, least=2)
        )


def beside(
    row: Row,
    ours: Callable[..., tuple[Tensor, float]],
    theirs: Callable[..., Run],
    n: int,
    n_steps: int,
    repeats: int,
    device: torch.device | str = "cpu",
) -> Measurement[Row]:
    """Both samplers in turns on the ring, and the laws that they reach. What theirs compiles is compiled before."""

    def measure() -> Iterator[Row]:
        if torch.device(device).type == "cuda" and (why := why_on_the_cpu(row.peer)):
            yield replace(row, skipped=why)
            return
        p, found = ring().to(device), {}
        x = p.sample((n,), generator=torch.Generator(device).manual_seed(0))
        run = theirs(p, x, STEP_SIZE, n_steps)
        times = time_in_turns(
            lambda: found.update(ours=ours(p, x, STEP_SIZE, n_steps)),
            lambda: found.update(theirs=run()),
            repeats=repeats,
        )
        filled = replace(row, ours=times[0], theirs=times[1])
        if ours is our_mala:
            filled = replace(filled, reached=f"acceptance {found['ours'][1]:.3f} and {found['theirs'][1]:.3f}")
        yield with_laws(filled, p, found, exact=ours is our_mala)

    return Measurement((row,), measure, why_missing(re.match(r"\w+", row.peer)[0]))


def our_mala(p: GaussianMixture, x: Tensor, step_size: float, n_steps: int) -> tuple[Tensor, float]:
    """Where the chains end, and their mean acceptance."""
    g = torch.Generator(x.device).manual_seed(1)
    chains = mala(p.log_prob, p.score, x, step_size=step_size, n_steps=n_steps, generator=g, progress=False)
    wait_for(chains, x.device)
    return chains.samples, float(chains.acceptance.mean())


def our_langevin(p: GaussianMixture, x: Tensor, step_size: float, n_steps: int) -> tuple[Tensor, float]:
    """Where the chains end, and 1, since all is accepted."""
    g = torch.Generator(x.device).manual_seed(1)
    chains = langevin(p.score, x, step_size=step_size, n_steps=n_steps, generator=g, progress=False)
    wait_for(chains, x.device)
    return chains.samples, 1.0


def blackjax_mala(p: GaussianMixture, x: Tensor, step_size: float, n_steps: int) -> Run:
    """MALA by blackjax, whose step is half of ours, for round components of one variance."""
    import blackjax
    import jax
    from jax import numpy as jnp

    kernel = blackjax.mala(_log_density(p), step_size / 2)

    @jax.jit
    def run(x: "jax.Array", key: "jax.Array") -> tuple["jax.Array", "jax.Array"]:
        def step(carry: tuple, key: "jax.Array") -> tuple[tuple, None]:
            states, accepted = carry
            states, info = jax.vmap(kernel.step)(jax.random.split(key, len(x)), states)
            return (states, accepted + info.is_accepted), None

        start = (jax.vmap(kernel.init)(x), jnp.zeros(len(x)))
        (states, accepted), _ = jax.lax.scan(step, start, jax.random.split(key, n_steps))
        return states.position, accepted.mean() / n_steps

    return _jitted(run, x)


def blackjax_langevin(p: GaussianMixture, x: Tensor, step_size: float, n_steps: int) -> Run:
    """Langevin by blackjax's own diffusion, the one within its MALA; its step, too, is half of ours."""
    import jax
    from blackjax.mcmc.diffusions import DiffusionState, overdamped_langevin
    from jax import numpy as jnp

    with_gradient = jax.value_and_grad(_log_density(p))
    one_step = overdamped_langevin(with_gradient)

    @jax.jit
    def run(x: "jax.Array", key: "jax.Array") -> tuple["jax.Array", "jax.Array"]:
        def step(states: DiffusionState, key: "jax.Array") -> tuple[DiffusionState, None]:
            return jax.vmap(one_step, (0, 0, None))(jax.random.split(key, len(x)), states, step_size / 2), None

        start = DiffusionState(x, *jax.vmap(with_gradient)(x))
        states, _ = jax.lax.scan(step, start, jax.random.split(key, n_steps))
        return states.position, jnp.ones(())

    return _jitted(run, x)


def _log_density(p: GaussianMixture) -> Callable[["jax.Array"], "jax.Array"]:
    import jax
    from jax import numpy as jnp

    means, log_weights = (jnp.asarray(t.cpu().numpy(), jnp.float32) for t in (p.means, p.weights.log()))
    variance = float(p.covariances[0, 0, 0])

    def log_density(x: "jax.Array") -> "jax.Array":
        return jax.scipy.special.logsumexp(log_weights - 0.5 * jnp.square(x - means).sum(-1) / variance)

    return log_density


def _jitted(run: Callable[..., tuple["jax.Array", "jax.Array"]], x: Tensor) -> Run:
    """``run`` from x, which is moved to jax's own device now; its result is torch's once more, on the CPU."""
    import jax
    import numpy as np

    start, key = jax.device_put(x.cpu().numpy()), jax.random.key(1)

    def chains() -> tuple[Tensor, float]:
        samples, acceptance = jax.block_until_ready(run(start, key))
        return torch.from_numpy(np.array(samples)), float(acceptance)  # 8 bytes a chain: a thousandth of its steps

    return chains


def torchebm_langevin(p: GaussianMixture, x: Tensor, step_size: float, n_steps: int) -> Run:
    """Langevin by torchebm, whose step is half of ours, for round components of one variance."""
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    means, log_weights, variance = p.means.to(x), p.weights.log().to(x), float(p.covariances[0, 0, 0])

    class Energy(BaseModel):
        def forward(self, x: Tensor) -> Tensor:
            return -torch.logsumexp(log_weights - (x[:, None] - means).square().sum(-1) / (2 * variance), -1)

    # without a device it moves the points to the CPU, away from the generator
    sampler = LangevinDynamics(Energy().to(x.device), step_size=step_size / 2, device=x.device)

    def chains() -> tuple[Tensor, float]:
        samples = sampler.sample(x, n_steps=n_steps, generator=torch.Generator(x.device).manual_seed(1))
        wait_for(samples, x.device)
        return samples, 1.0

    return chains


def with_laws(row: Row, p: GaussianMixture, found: dict[str, tuple[Tensor, float]], *, exact: bool) -> Row:
    """The row with the variances about the nearest mode, along an axis, and how far they are from what they should be.

    For round components of one variance v, far apart, that is v for an exact sampler and v / (1 - eps / (4 v)) for
    Langevin; allowed are 5.2 standard errors of a mean of 2 n squares, relative.
    """
    v = float(p.covariances[0, 0, 0])
    right = v if exact else v / (1 - STEP_SIZE / (4 * v))
    variances = []
    for samples, _ in found.values():
        nearest = p.means.to(samples)[p.posterior(samples).argmax(-1)]
        variances.append(float((samples - nearest).double().square().mean()))
    said = f"variance in a mode {' and '.join(f'{variance:.4f}' for variance in variances)}, of {right:.4f}"
    return replace(
        row,
        reached=f"{row.reached}; {said}" if row.reached else said,
        error=worst(abs(variance / right - 1) for variance in variances),
        allowed=5.2 / math.sqrt(min(len(samples) for samples, _ in found.values())),
    )
