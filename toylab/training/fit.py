"""Training: one loop, short enough to read in class."""

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from toylab import checks
from toylab.densities.density import Density
from toylab.draws import integers
from toylab.training.averaging import WeightAverage
from toylab.training.rates import one_cycle

Objective = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class History:
    """What happened during a training, one entry a report (every ``report_every`` steps), each of shape [reports].

    Attributes:
        steps: how many steps had been taken.
        loss: mean loss over the steps since the last report, as the objective counts it.
        fisher_divergence: that loss + the objective's offset, which estimates the Fisher divergence of the network in
            training; nan where the data is a plain set of points or the objective gives no offset.
        seconds: time since the start.
    """

    steps: Tensor
    loss: Tensor
    fisher_divergence: Tensor
    seconds: Tensor


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained network (the averaged weights, gradients off) and its history."""

    network: nn.Module
    history: History


def fit(
    network: nn.Module,
    objective: Objective,
    data: Density | Tensor,
    *,
    n_steps: int = 1000,
    batch_size: int = 256,
    learning_rate: float = 5e-3,
    rate: Callable[[float], float] = one_cycle,
    average: float = 0.99,
    report_every: int = 100,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> Fit:
    """Minimise the mean of ``objective`` over the data with Adam.

    The network given is left as it is: a copy is trained, so that the same call gives the same answer again.

    Args:
        network: where to start: a ``ScoreMLP``, a ``NoiseConditionalMLP``, or any module called as a score.
        objective: from ``toylab.objectives``, or any function (score, x, generator=g) -> losses [n].
        data: a density (fresh points at every step), or a fixed set of points [N, 2] (batches drawn from it).
        n_steps: optimiser steps.
        batch_size: points a step.
        learning_rate: Adam's rate at its peak.
        rate: share of the peak rate at the moment t in [0, 1] of the training: ``one_cycle``, ``cosine``, ``constant``.
        average: decay of the moving average of the weights (``WeightAverage``); 0 returns the last weights.
        report_every: steps between two entries of the history.
        generator: source of randomness for data and objective; None is torch's global stream.
        device: where to train; None is where the network is.
        progress: show a progress bar.

    Returns:
        The trained network and its history. Ctrl-C returns what is done so far, with a warning.

    Raises:
        ValueError, TypeError: for bad input, before the first step.
        FloatingPointError: when the loss is nan or inf, naming the step; its ``fit`` attribute holds the last sound
            result.
    """
    checks.function("objective", objective, "objectives.Sliced()")
    checks.function("rate", rate, "training.cosine")
    checks.count("n_steps", n_steps)
    checks.count("batch_size", batch_size)
    checks.count("report_every", report_every)
    checks.positive("learning_rate", learning_rate)
    if not isinstance(network, nn.Module) or not any(p.requires_grad for p in network.parameters()):
        raise TypeError("network has nothing to train: give a torch module with parameters, such as ScoreMLP().")
    parameter = next(network.parameters())
    like = torch.empty(0, dtype=parameter.dtype, device=parameter.device if device is None else device)
    network = copy.deepcopy(network).to(like.device)
    draw, offset = _source(data, like, batch_size, generator), _offset(objective, data)
    _try_once(network, objective, draw)

    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    averaged = WeightAverage(network, average)
    log = _Log(offset)
    with tqdm(total=n_steps, desc="fit", unit="step", disable=not progress) as shown:
        try:
            for step in range(n_steps):
                optimiser.param_groups[0]["lr"] = learning_rate * rate(step / n_steps)
                loss = objective(network, draw(), generator=generator).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                averaged.update()
                log.add(loss)
                shown.update()
                if (step + 1) % report_every == 0 or step + 1 == n_steps:
                    shown.set_postfix_str(log.report(step + 1, averaged.network, learning_rate))
        except KeyboardInterrupt:
            log.report(averaged.n_steps, averaged.network, learning_rate)
            warnings.warn(
                f"fit was interrupted after {averaged.n_steps} steps: what is learned so far is returned.",
                RuntimeWarning,
                stacklevel=2,
            )
    return Fit(averaged.network, log.history())


def _source(data: Density | Tensor, like: Tensor, n: int, generator: torch.Generator | None) -> Callable[[], Tensor]:
    """A function that draws the next batch."""
    if isinstance(data, Density):
        density = data.to(like)
        return lambda: density.sample((n,), generator=generator)
    checks.cloud("data", data)
    if not data.isfinite().all():
        bad = int((~data.isfinite().all(-1)).sum())
        raise ValueError(f"data holds {bad} points that are nan or inf, of {len(data)}: remove them first.")
    points = data.detach().to(like)
    return lambda: points[integers(len(points), (n,), device=points.device, generator=generator)]


def _offset(objective: Objective, data: Density | Tensor) -> float:
    """The constant between loss and Fisher divergence, or nan where it is not known."""
    if not (isinstance(data, Density) and hasattr(objective, "offset")):
        return math.nan
    try:
        return objective.offset(data)
    except (TypeError, ValueError):  # the law has no quadrature, or no score of its own: train all the same
        return math.nan


def _try_once(network: nn.Module, objective: Objective, draw: Callable[[], Tensor]) -> None:
    """One evaluation on copies of the random streams' side: wrong shapes and pairings are told before any step."""
    x = draw()[:2]
    throwaway = torch.Generator(x.device).manual_seed(0)
    with torch.no_grad():
        losses = objective(network, x, generator=throwaway)
    if not isinstance(losses, Tensor) or losses.shape != x.shape[:1]:
        given = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(
            f"the objective gives {given} for 2 points: it must give one loss a point, [2]. "
            "Leave out the mean, and check that the network maps [n, 2] to [n, 2]."
        )


class _Log:
    """Collects losses on the device and reads them once a report, so that the loop never waits for a GPU."""

    def __init__(self, offset: float) -> None:
        self.offset, self.start = offset, time.perf_counter()
        self.pending: list[Tensor] = []
        self.rows: list[tuple[int, float, float]] = []
        self.sound: nn.Module | None = None

    def add(self, loss: Tensor) -> None:
        self.pending.append(loss.detach())

    def report(self, step: int, network: nn.Module, learning_rate: float) -> str:
        if not self.pending:
            return ""
        losses = torch.stack(self.pending)
        mean = float(losses.mean())
        if not math.isfinite(mean):
            first = step - len(losses) + 1 + int((~losses.isfinite()).int().argmax())
            error = FloatingPointError(
                f"the loss became {float(losses[first - step - 1])} at step {first}: the training diverged. Lower "
                f"learning_rate (now {learning_rate:g}) and start again. What was learned by the last report is in "
                "this error's .fit (None before the first)."
            )
            error.fit = None if self.sound is None else Fit(self.sound, self.history())
            raise error
        self.pending.clear()
        self.rows.append((step, mean, time.perf_counter() - self.start))
        self.sound = copy.deepcopy(network)
        value = mean if math.isnan(self.offset) else mean + self.offset
        return f"{'loss' if math.isnan(self.offset) else 'Fisher divergence'} {value:.4f}"

    def history(self) -> History:
        steps, loss, seconds = (list(column) for column in zip(*self.rows, strict=True)) if self.rows else ([], [], [])
        loss = torch.tensor(loss, dtype=torch.float64)
        return History(torch.tensor(steps), loss, loss + self.offset, torch.tensor(seconds, dtype=torch.float64))
