"""Whole runs in one kernel: which chains a GPU carries so, and how their steps are divided among launches.

Langevin, annealed Langevin and MALA ask here first. Their own steps are the plain path, for every score and on every
device. A kernel draws other numbers than they do, from a stream of its own, whose seed the generator gives.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import current, draws_on, stream_as_it_is, wait_for
from toylab._internal.warn import warn
from toylab._kernels.when import attempt, fused, given_up
from toylab.densities import _gaussians
from toylab.densities.gaussian_mixture import GaussianMixture
from toylab.densities.points import Points
from toylab.samplers.accept_reject import State
from toylab.samplers.loop import CountingScore, Recorder, progress_bar
from toylab.samplers.packed_network import pack
from toylab.score import LogProb, without_level

if TYPE_CHECKING:
    from toylab._kernels.run import Run

Launch = Callable[[int, int], None]  # takes steps first .. first + n - 1, in place

# multiply-adds of a launch: some tenths of a second, after which Ctrl-C is heard; fewer chains are no faster than these
_AT_ONCE, _FEWEST = 1 << 42, 1 << 16
_PAIR = 16  # of a pair of chain and component


def langevin(
    counted: CountingScore[...],
    x: Tensor,
    sizes: Sequence[float],
    recorder: Recorder,
    *,
    name: str = "langevin",
    sigmas: Sequence[float] | None = None,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Tensor | None:
    """The points after a run of ``langevin`` or ``annealed_langevin``; None if no kernel carries such chains.

    Args:
        counted: the score: of x alone, or of x and a level if there are ``sigmas``.
        x: where the chains start, [n, 2].
        sizes: eps of each step.
        recorder: of the run.
        name: of the sampler.
        sigmas: the noise level of each step, falling; None if the score has none.
        temperature: T.
        generator: source of randomness.
        progress: show a bar when it takes long.
    """
    if not _on_a_card(x, generator):
        return None
    try:
        carrier = _carrier(counted.score, x, sigmas)
    except torch.OutOfMemoryError:
        warn(
            "running without a fused kernel, several times slower: the tables of the mixture at all levels, which it "
            f"reads, are more than is free on {x.device}."
        )
        return None
    if carrier is None or given_up(_kernel_of(name, carrier.name), x.device):
        return None
    counted(x, *(sigmas or [])[:1])  # its first values are checked, as on the plain path
    place = {sigma: i for i, sigma in enumerate(dict.fromkeys(sigmas or []))}
    levels = torch.tensor([place[s] for s in sigmas or []] or [0] * len(sizes), dtype=torch.int32, device="cpu").to(
        x.device
    )
    leave_no_trace = stream_as_it_is(generator, x.device)
    x, run = x.clone(memory_format=torch.contiguous_format), recorder.run(sizes, temperature, generator)
    done = _take_all_steps(
        name, carrier.name, lambda first, n: carrier.take(x, levels, run, first, n), carrier.work, recorder, counted,
        labels=sigmas, progress=progress,
    )  # fmt: skip
    if not done:
        leave_no_trace()
        return None
    rest = () if sigmas is None else (sigmas[max(recorder.step, 1) - 1],)  # Ctrl-C may come before the first step
    counted.last = recorder.last, rest, counted.score(recorder.last, *rest)  # from which a cause is told
    return x


def mala(
    log_prob: LogProb,
    counted: CountingScore[...],
    state: tuple[State, Tensor],
    sizes: Sequence[float],
    recorder: Recorder,
    *,
    factor: Tensor | None,
    generator: torch.Generator | None,
    progress: bool,
) -> tuple[State, Tensor] | None:
    """The state after a run of ``mala``, and how many proposals each chain accepted; None if no kernel carries them.

    Args:
        log_prob: log p, of the same mixture as the score.
        counted: the score.
        state: where the chains start, and none accepted yet.
        sizes: eps of each step.
        recorder: of the run.
        factor: the lower Cholesky factor of the preconditioner; None is the identity.
        generator: source of randomness.
        progress: show a bar when it takes long.
    """
    x = state[0].x
    mixture = _mixture(counted.score, log_prob) if _on_a_card(x, generator) else None
    if mixture is None or given_up(_kernel_of("mala", "a mixture"), x.device):
        return None
    from toylab._kernels import mixture_chain

    cast, level = mixture
    gaussians = cast(x.new_empty((0, 2), dtype=torch.float64))
    table = _gaussians.table(level, gaussians)
    here = State(*(part.clone(memory_format=torch.contiguous_format) for part in state[0]))
    leave_no_trace = stream_as_it_is(generator, x.device)
    accepted, run = state[1].clone(), recorder.run(sizes, 1.0, generator)

    def launch(first: int, n: int) -> None:
        mixture_chain.mala(*here, accepted, table, gaussians.round, factor, run, first, n)

    done = _take_all_steps("mala", "a mixture", launch, len(table) * _PAIR, recorder, counted, progress=progress)
    if not done:
        leave_no_trace()
    return (here, accepted) if done else None


def _on_a_card(x: Tensor, generator: torch.Generator | None) -> bool:
    """Whether kernels run where x is; a generator elsewhere asks for the numbers of the plain path."""
    return fused(x.device) and draws_on(validate.generator(generator), x.device)


class _Carrier(NamedTuple):
    """What carries chains along a score: a kernel and all that it needs; ``work`` is that of a chain and a step."""

    name: str
    work: int
    take: Callable[[Tensor, Tensor, "Run", int, int], None]  # chains, level of each step, run, first, n


def _carrier(score: object, x: Tensor, sigmas: Sequence[float] | None) -> _Carrier | None:
    """That of a mixture or of a network; None for any other score."""
    plain, level = without_level(score)
    if isinstance(level, Tensor) or (level is not None and sigmas is not None):
        return None
    if level is not None and not _is_level(level, x):
        return None  # the plain path says what is wrong with it
    distinct = list(dict.fromkeys(sigmas)) if sigmas is not None else None if level is None else [level]
    if (mixture := _mixture(score)) is not None:
        from toylab._kernels import mixture_chain

        gaussians = mixture[0](x.new_empty((0, 2), dtype=torch.float64))
        tables = torch.stack([_gaussians.table(sigma, gaussians) for sigma in distinct or [0.0]])

        def on_a_mixture(x: Tensor, levels: Tensor, run: "Run", first: int, n: int) -> None:
            mixture_chain.langevin(x, tables, levels, gaussians.round, run, first, n)

        return _Carrier("a mixture", len(gaussians.log_weights) * _PAIR, on_a_mixture)
    packed = pack(plain, x, distinct)
    if packed is None:
        return None
    from toylab._kernels import network

    def along_a_network(x: Tensor, levels: Tensor, run: "Run", first: int, n: int) -> None:
        network.langevin(x, packed, levels, run, first, n)

    width = packed.ends.shape[1]
    kind = f"a network of {width} units, {packed.activation}, {packed.precision}"
    return _Carrier(kind, len(packed.middle) * width**2 + 6 * width, along_a_network)


def _is_level(level: float, x: Tensor) -> bool:
    try:
        validate.noise_level(level, x)
    except (TypeError, ValueError):
        return False
    return True


def _mixture(score: object, log_prob: object = None) -> tuple[_gaussians.Cast, float] | None:
    """The Gaussians of which this is the score, and the level; None if it is another score, or log p is not theirs."""
    score, level = without_level(score)
    p = getattr(score, "__self__", None)
    if not (type(p) is GaussianMixture or type(p) is Points) or score != p.score or isinstance(level, Tensor):
        return None
    if log_prob is not None and (level is not None or log_prob != p.log_prob):
        return None
    return p._gaussians, level or 0.0


def _kernel_of(sampler: str, kind: str) -> str:
    return f"of {sampler} on {kind}"


def _take_all_steps(
    name: str, kind: str, launch: Launch, work: int, recorder: Recorder, counted: CountingScore[...], *,
    labels: Sequence[float] | None = None, progress: bool,
) -> bool:  # fmt: skip
    """Launch until all steps are taken, some at once, or Ctrl-C; False if the kernel cannot be launched at all.

    ``work`` is that of a chain and a step, in multiply-adds.
    """
    n_steps, n_before = recorder.n_steps, counted.n if name == "mala" else 0
    at_once = min(n_steps, max(1, _AT_ONCE // (max(len(recorder.start), _FEWEST) * work)))
    with progress_bar(name, n_steps, progress) as shown:
        while recorder.step < n_steps:
            n = min(at_once, n_steps - recorder.step)
            take = partial(launch, recorder.step, n)
            if recorder.step > 0:
                with current(recorder.start.device):
                    take()
            elif not attempt(_kernel_of(name, kind), recorder.start.device, take):
                counted.n = n_before
                return False
            recorder.skip(n, labels)
            counted.n = n_before + recorder.step
            if at_once < n_steps:
                wait_for(recorder.start.device)  # or the bar would run ahead, and Ctrl-C not be heard
            shown.update(n)
    return True
