"""Training: one loop, short enough to read in class."""

import copy
from collections.abc import Callable
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from toylab._internal import devices, validate
from toylab._internal.cuda_graphs import capture_step
from toylab._internal.malloc import keep_freed_memory
from toylab._internal.torch_private import uncompiled
from toylab._internal.warn import warn
from toylab.densities.density import Density
from toylab.objectives.objective import Objective
from toylab.training.adam import Adam
from toylab.training.averaging import WeightAverage, in_one_piece
from toylab.training.batches import batches
from toylab.training.ensemble import Ensemble, redrawn, single_networks
from toylab.training.history_builder import HistoryBuilder
from toylab.training.learning_rates import one_cycle
from toylab.training.memory import Memory
from toylab.training.outcome import warn_no_better_than_zero
from toylab.training.result import Fit, Network
from toylab.training.resume import Standing, state_of
from toylab.training.scale import loss_scale, warn_scale
from toylab.training.state import call_of
from toylab.training.trial import (
    check_call,
    check_counts,
    check_pair,
    check_trainable,
    offset_or_nan,
    share_of,
    try_once,
    try_side_by_side,
)
from toylab.training.walls import warn_walls


@torch.inference_mode(False)
@torch.enable_grad()  # whatever the caller's mode
def fit(
    network: Network,
    objective: Objective[Network],
    data: Density | Tensor,
    *,
    n_steps: int = 1000,
    batch_size: int = 256,
    learning_rate: float = 5e-3,
    rate: Callable[[float], float] = one_cycle,
    average: float = 0.99,
    n_seeds: int = 1,
    held_out: Callable[[Network], float] | None = None,
    report_every: int = 100,
    callback: Callable[[int, Tensor, Any], object] | None = None,
    resume: Fit[Network] | str | PathLike[str] | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> Fit[Network]:
    """Minimise the mean of ``objective`` over the data with Adam.

    The network given is left as it is: a copy is trained, so that the same call gives the same answer again. It is
    trained in training mode and returned in evaluation mode, with its latest buffers: Dropout and BatchNorm act as they
    do in use (``loss`` is of training mode, ``held_out`` of evaluation mode).

    Args:
        network: where to start: a ``ScoreMLP``, a ``NoiseConditionalMLP``, or any module called as a score. Data of
            another scale than its own? ``network.for_data(data)``. One from ``torch.compile`` is trained, and returned,
            uncompiled. Dropout draws from torch's global stream.
        objective: from ``toylab.objectives``, or any function (score, x, generator=g) -> losses [n].
        data: a density (fresh points at every step), or a fixed set of points [N, 2] (batches drawn from it).
        n_steps: optimiser steps.
        batch_size: points per step.
        learning_rate: Adam's rate at its peak.
        rate: share of the peak rate at the moment t in [0, 1] of the training: ``one_cycle``, ``cosine``, ``constant``.
        average: decay of the moving average of the weights (``WeightAverage``); 0 returns the last weights.
        n_seeds: networks to train side by side, each on its own batches, hundreds if there is the memory. The first
            starts from the weights given, the others from ``network.redrawn(generator)``; the objective sees points
            [n_seeds, batch_size, 2].
        held_out: a number to record at each report from the averaged network, such as the exact
            ``lambda s: metrics.fisher_divergence(s, p)``, to compare with the loss.
        report_every: steps between two entries of the history.
        callback: called after every step as callback(step, loss, network), with how many steps were taken, the mean
            loss of the last, a tensor of no dimension, and the averaged network in evaluation mode: to be looked at,
            and copied to be kept. Of several networks these are losses [n_seeds] and a tuple. If it returns True, the
            training ends there. Its errors are not caught. On a GPU, ``float(loss)`` waits for the step.
        resume: a training to go on with, a ``Fit`` or the file of ``Fit.save(path, state=True)``, from whose weights it
            starts instead. n_steps counts its steps, too. With the same other arguments the result is to the bit that
            of one call, on one machine, wherever the training was stopped by its callback; Ctrl-C falls inside a step,
            and what draws from torch's global stream goes on from where that is.
        generator: source of randomness for data and objective; None is torch's global stream.
        device: where to train; None is where the network is. On a CUDA device a step is recorded as a CUDA graph and
            replayed, if the generator is there and the objective a frozen dataclass, as all of ``toylab.objectives``
            are; a warning says why not.
        progress: show a progress bar.

    Returns:
        The trained networks and their histories. Ctrl-C returns what is done so far, with a warning.

    Warns:
        RuntimeWarning: before the first step, if the objective differentiates a piecewise linear network (ReLU), the
            data have another scale than the network, ``Implicit`` or a sliced objective is to learn a density that ends
            at a wall, or the training to resume had other learning rates; after the last, if it is no better than
            s = 0.

    Raises:
        ValueError, TypeError: for bad input, before the first step; a ``ValueError``, too, for a training to resume
            with another network, objective, data, batch_size, average, n_seeds, report_every or device of the
            generator; and if there is not enough free memory (on a CUDA device, and on the CPU under Linux), with the
            largest n_seeds and batch_size that fit.
        TrainingDiverged: when the loss is nan or inf, naming the step; its ``fit`` holds the last finite result.
    """
    check_pair(objective, network)
    check_trainable(network)
    check_call("rate", rate, "training.cosine")
    n_steps, batch_size, n_seeds, report_every = check_counts(
        n_steps=n_steps, batch_size=batch_size, n_seeds=n_seeds, report_every=report_every
    )
    learning_rate = validate.positive("learning_rate", learning_rate)
    if held_out is not None:
        check_call("held_out", held_out, "lambda s: metrics.fisher_divergence(s, p)")
    if callback is not None:
        validate.function("callback", callback, "lambda step, loss, network: None", takes=3)
    begun = None if resume is None else state_of(resume)

    loss: Objective[Any] = objective
    first = next(network.parameters())
    like = torch.empty(0, dtype=first.dtype, device=validate.device(first.device if device is None else device))
    Memory.of(network).check(n_seeds, batch_size, like.device)  # before the first draw; the loss is tried below
    draw = batches(data, like, (batch_size,) if n_seeds == 1 else (n_seeds, batch_size), generator)
    offset = offset_or_nan(objective, data)
    trained: nn.Module = copy.deepcopy(uncompiled(network)).to(like.device).train()
    batch = draw().view(-1, 2)
    losses, taken = try_once(trained, loss, batch)
    Memory.of(network, *taken).check(n_seeds, batch_size, like.device)
    warn_walls(loss, data)
    warn_scale(trained, loss, data if isinstance(data, Tensor) else batch)
    if n_seeds > 1:
        trained = Ensemble([trained, *redrawn(trained, n_seeds - 1, generator)])
        try_side_by_side(trained, loss, draw()[:, :2])

    in_one_piece(trained)  # so that the average of all weights is one kernel
    optimiser, averaged = Adam(trained.parameters()), WeightAverage(trained, average)
    averaged.network.eval()
    rates = [learning_rate * share_of(rate, k / n_steps) for k in range(n_steps)]
    schedule = _schedule(averaged, rates)
    slope = torch.full_like(losses[0], loss_scale(network)) / batch_size  # of scale * mean loss, along each loss

    def step(now: Tensor) -> Tensor:
        rate, share = now.unbind()
        losses = loss(trained, draw(), generator=generator)
        optimiser.zero_grad()  # here, where it also clears what a failed recording has left
        losses.backward(slope.expand_as(losses))  # of each network by itself
        optimiser.step(rate)
        averaged._include(share)
        return losses.detach().mean(-1)

    step = capture_step(step, like.device, generator=generator, uses=[objective, data])
    keep_freed_memory()
    history = HistoryBuilder(offset, held_out)
    call = call_of(
        uncompiled(network), objective, data, generator,
        batch_size=batch_size, average=average, n_seeds=n_seeds, report_every=report_every,
    )  # fmt: skip
    standing = Standing(call, trained, averaged, optimiser, history, rates, generator)
    if begun is not None:
        standing.go_on_from(begun)
    interrupted = False
    with tqdm(total=n_steps, initial=history.n_steps, desc="fit", unit="step", disable=not progress) as shown:
        try:
            for k in range(history.n_steps, n_steps):
                last = history.add(step(schedule[k]))
                enough = callback is not None and callback(k + 1, last, _seen(averaged.network)) is True
                shown.update()
                if (k + 1) % report_every == 0:
                    shown.set_postfix_str(history.report(averaged.network, learning_rate))
                if enough:
                    break
        except KeyboardInterrupt:
            interrupted = True
        state = standing.now()
        if history.pending:
            shown.set_postfix_str(history.report(averaged.network, learning_rate))
    result = history.result(averaged.network, state)
    if interrupted:
        warn(f"fit was interrupted after {history.n_steps} steps: what is learned so far is returned.")
    else:
        warn_no_better_than_zero(result.network, loss, data, history.n_steps)
    return result


def _seen(network: nn.Module) -> nn.Module | tuple[nn.Module, ...]:
    """The one network as it is, or copies of several."""
    return single_networks(network) if isinstance(network, Ensemble) else network


def _schedule(averaged: WeightAverage, rates: list[float]) -> Tensor:
    """What changes from step to step, [n_steps, 2]: the learning rate, and the share of the latest weights in the mean.

    It lies where the weights do, so that a step costs one copy of two numbers, and no kernel that computes them. On the
    CPU rates stay in float64; elsewhere the optimiser takes them in float32.
    """
    k = torch.arange(len(rates), dtype=averaged.n_steps.dtype, device="cpu")
    schedule = torch.stack([torch.tensor(rates, dtype=torch.float64, device="cpu"), averaged._share(k).double()], -1)
    device, dtype = averaged.n_steps.device, averaged.n_steps.dtype
    return schedule if devices.at_hand(device) else schedule.to(dtype).to(device)  # there may be no float64 there
