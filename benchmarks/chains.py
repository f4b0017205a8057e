"""MALA and Langevin on the ring of eight: beside blackjax and torchebm."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.peers import why_missing
from benchmarks.row import Row
from benchmarks.timing import time_in_turns
from toylab.densities import GaussianMixture, ring
from toylab.experiments.setting import scaled_count
from toylab.samplers import langevin, mala

N_CHAINS, N_STEPS, STEP_SIZE = (1280, 20_000), 1000, 0.05


def mala_rows(share: float) -> Iterator[Row]:
    """Beside blackjax, jitted: ``lax.scan`` over the steps, ``vmap`` over the chains, float32; and with its compiling.

    Its acceptance is counted in the carry, so that it keeps no path, like ours.
    """
    p, n_steps = ring(), scaled_count(N_STEPS, share)
    for n in N_CHAINS:
        work = f"MALA on the ring, {n:,} × {n_steps:,}"
        if why := why_missing("blackjax"):
            yield Row(work, "blackjax", 1.0, skipped=why)
            continue
        x = p.sample((n,), generator=torch.Generator().manual_seed(0))
        found: dict[str, tuple[Tensor, float]] = {}
        theirs = blackjax_mala(p, STEP_SIZE, n_steps)

        ours, ran, compiled = time_in_turns(
            lambda x=x, found=found: found.update(ours=our_mala(p, x, STEP_SIZE, n_steps)),
            lambda x=x, found=found, theirs=theirs: found.update(theirs=theirs(x)),
            lambda x=x: blackjax_mala(p, STEP_SIZE, n_steps)(x),  # a new function is compiled anew
            repeats=scaled_count(5, share, least=2),
        )
        reached = f"acceptance {found['ours'][1]:.3f} and {found['theirs'][1]:.3f}; {_variances(p, found)}"
        yield Row(work, "blackjax, compiled before", 1.0, ours, ran, reached)
        yield Row(work, "blackjax, with compiling", 1 / 2, ours, compiled, reached)


def langevin_rows(share: float) -> Iterator[Row]:
    """Beside torchebm's ``LangevinDynamics`` on a lean energy, differentiated by autograd as it does."""
    p, n_steps = ring(), scaled_count(N_STEPS, share)
    for n in N_CHAINS:
        work = f"Langevin on the ring, {n:,} × {n_steps:,}"
        if why := why_missing("torchebm"):
            yield Row(work, "torchebm", 1 / 4, skipped=why)
            continue
        x = p.sample((n,), generator=torch.Generator().manual_seed(0))
        found: dict[str, tuple[Tensor, float]] = {}
        times = time_in_turns(
            lambda x=x, found=found: found.update(ours=(our_langevin(p, x, STEP_SIZE, n_steps), 1.0)),
            lambda x=x, found=found: found.update(theirs=(torchebm_langevin(p, x, STEP_SIZE, n_steps), 1.0)),
            repeats=scaled_count(5, share, least=2),
        )
        yield Row(work, "torchebm LangevinDynamics", 1 / 4, *times, _variances(p, found))


def our_mala(p: GaussianMixture, x: Tensor, step_size: float, n_steps: int) -> tuple[Tensor, float]:
    """Where the chains end, and their mean acceptance."""
    g = torch.Generator(x.device).manual_seed(1)
    chains = mala(p.log_prob, p.score, x, step_size=step_size, n_steps=n_steps, generator=g, progress=False)
    return chains.samples, float(chains.acceptance.mean())


def blackjax_mala(p: GaussianMixture, step_size: float, n_steps: int) -> Callable[[Tensor], tuple[Tensor, float]]:
    """The same by blackjax, whose step is half of ours, for round components of one variance."""
    import blackjax
    import jax
    from jax import numpy as jnp

    means, log_weights = (jnp.asarray(t.numpy(), jnp.float32) for t in (p.means, p.weights.log()))
    variance = float(p.covariances[0, 0, 0])

    def log_density(x: "jax.Array") -> "jax.Array":
        return jax.scipy.special.logsumexp(log_weights - 0.5 * jnp.square(x - means).sum(-1) / variance)

    kernel = blackjax.mala(log_density, step_size / 2)

    @jax.jit
    def run(x: "jax.Array", key: "jax.Array") -> tuple["jax.Array", "jax.Array"]:
        def step(carry: tuple, key: "jax.Array") -> tuple[tuple, None]:
            states, accepted = carry
            states, info = jax.vmap(kernel.step)(jax.random.split(key, len(x)), states)
            return (states, accepted + info.is_accepted), None

        start = (jax.vmap(kernel.init)(x), jnp.zeros(len(x)))
        (states, accepted), _ = jax.lax.scan(step, start, jax.random.split(key, n_steps))
        return states.position, accepted.mean() / n_steps

    def chains(x: Tensor) -> tuple[Tensor, float]:
        samples, acceptance = run(jnp.asarray(x.numpy()), jax.random.key(1))
        return torch.tensor(samples.tolist()), float(acceptance)

    return chains


def our_langevin(p: GaussianMixture, x: Tensor, step_size: float, n_steps: int) -> Tensor:
    """Where the chains end."""
    g = torch.Generator(x.device).manual_seed(1)
    return langevin(p.score, x, step_size=step_size, n_steps=n_steps, generator=g, progress=False).samples


def torchebm_langevin(p: GaussianMixture, x: Tensor, step_size: float, n_steps: int) -> Tensor:
    """The same by torchebm, whose step is half of ours, for round components of one variance."""
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    means, log_weights, variance = p.means.to(x), p.weights.log().to(x), float(p.covariances[0, 0, 0])

    class Energy(BaseModel):
        def forward(self, x: Tensor) -> Tensor:
            return -torch.logsumexp(log_weights - (x[:, None] - means).square().sum(-1) / (2 * variance), -1)

    sampler = LangevinDynamics(Energy(), step_size=step_size / 2)
    return sampler.sample(x, n_steps=n_steps, generator=torch.Generator(x.device).manual_seed(1))


def _variances(p: GaussianMixture, found: dict[str, tuple[Tensor, float]]) -> str:
    """The variance about the nearest mode, along an axis, on both sides."""
    variances = []
    for side in ("ours", "theirs"):
        x = found[side][0]
        nearest = p.means.to(x)[p.posterior(x).argmax(-1)]
        variances.append(float((x - nearest).square().mean()))
    return "variance in a mode {:.4f} and {:.4f}".format(*variances)
