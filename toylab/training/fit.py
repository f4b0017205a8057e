"""Training: one loop, short enough to read in class."""

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from tqdm.auto import tqdm

from toylab._internal import validate
from toylab._internal.cuda_graphs import captured
from toylab._internal.malloc import keep_freed_memory
from toylab._internal.random import integers
from toylab.densities.density import Density
from toylab.training.adam import Adam
from toylab.training.averaging import WeightAverage
from toylab.training.ensemble import Ensemble
from toylab.training.learning_rates import one_cycle
from toylab.training.piecewise_linear import warn_piecewise_linear

Objective = Callable[..., Tensor]
Measure = Callable[[nn.Module], float]


@dataclass(frozen=True, eq=False)
class History:
    """What happened during a training, one entry a report (every ``report_every`` steps), each of shape [reports].

    Attributes:
        steps: how many steps had been taken.
        loss: mean loss over the steps since the last report, as the objective counts it.
        fisher_divergence: that loss + the objective's offset, which estimates the Fisher divergence of the network in
            training; nan where the data is a plain set of points or the objective gives no offset.
        held_out: ``held_out`` of the averaged network, nan if none was given.
        seconds: time since the start, without that spent on ``held_out``.
    """

    steps: Tensor
    loss: Tensor
    fisher_divergence: Tensor
    held_out: Tensor
    seconds: Tensor


@dataclass(frozen=True)
class Spread:
    """A number measured on each of several trained networks: mean and standard deviation over them.

    >>> print(Spread((0.002, 0.003, 0.004)))
    0.0030 ± 0.0010
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the networks."""
        return sum(self.values) / len(self.values)

    @property
    def std(self) -> float:
        """Standard deviation of one network about the mean; nan of a single one."""
        if len(self.values) < 2:
            return math.nan
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (len(self.values) - 1))

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.std:.4f}"


@dataclass(frozen=True, eq=False)
class Fit:
    """Trained networks (the averaged weights, gradients off) and their histories, one a seed.

    Attributes:
        networks: as many as ``n_seeds``.
        histories: one a network.
    """

    networks: tuple[nn.Module, ...]
    histories: tuple[History, ...]

    @property
    def network(self) -> nn.Module:
        """The first network, which started from the weights given."""
        return self.networks[0]

    @property
    def history(self) -> History:
        """The history of the first network."""
        return self.histories[0]

    def spread(self, measure: Measure) -> Spread:
        """A number measured on every network, such as ``lambda s: metrics.fisher_divergence(s, p)``."""
        return Spread(tuple(float(measure(network)) for network in self.networks))


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
    n_seeds: int = 1,
    held_out: Measure | None = None,
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
        n_seeds: networks to train side by side, each on its own batches. The first starts from the weights given, the
            others from ``network.redrawn(generator)``; the objective sees points [n_seeds, batch_size, 2]. Overhead is
            shared, arithmetic is not: docs/objectives.md has what eight cost, in steps of one.
        held_out: a number to record at each report from the averaged network, such as the exact
            ``lambda s: metrics.fisher_divergence(s, p)``, to be seen beside the loss.
        report_every: steps between two entries of the history.
        generator: source of randomness for data and objective; None is torch's global stream.
        device: where to train; None is where the network is. On a CUDA device a step is recorded as a CUDA graph and
            replayed, if the generator is there and the objective a frozen dataclass, as all of ``toylab.objectives``
            are; a warning says why not.
        progress: show a progress bar.

    Returns:
        The trained networks and their histories. Ctrl-C returns what is done so far, with a warning.

    Warns:
        RuntimeWarning: before the first step, if the network has kinks (ReLU) and the objective differentiates it.

    Raises:
        ValueError, TypeError: for bad input, before the first step.
        FloatingPointError: when the loss is nan or inf, naming the step; its ``fit`` attribute holds the last sound
            result.
    """
    validate.function("objective", objective, "objectives.Sliced()")
    validate.function("rate", rate, "training.cosine")
    validate.count("n_steps", n_steps)
    validate.count("batch_size", batch_size)
    validate.count("n_seeds", n_seeds)
    validate.count("report_every", report_every)
    validate.positive("learning_rate", learning_rate)
    if held_out is not None:
        validate.function("held_out", held_out, "lambda s: metrics.fisher_divergence(s, p)")
    if not isinstance(network, nn.Module) or not any(p.requires_grad for p in network.parameters()):
        raise TypeError("network has nothing to train: give a torch module with parameters, such as ScoreMLP().")
    parameter = next(network.parameters())
    like = torch.empty(0, dtype=parameter.dtype, device=parameter.device if device is None else device)
    shape = (batch_size,) if n_seeds == 1 else (n_seeds, batch_size)
    draw, offset = _source(data, like, shape, generator), _offset(objective, data)
    network = copy.deepcopy(network).to(like.device)
    _try_once(network, objective, draw().view(-1, 2)[:2])
    if n_seeds > 1:
        network = Ensemble([network, *_redrawn(network, n_seeds - 1, generator)])
        _try_side_by_side(network, objective, draw()[:, :2])

    optimiser, averaged = Adam(network.parameters()), WeightAverage(network, average)

    def step(rate: float | Tensor) -> Tensor:
        losses = objective(network, draw(), generator=generator).mean(-1)
        optimiser.zero_grad()  # here, where it also takes away what a recording that failed has left
        losses.backward(torch.ones_like(losses))  # of each network by itself
        optimiser.step(rate)
        averaged.update()
        return losses.detach()

    step = captured(step, like.device, generator=generator, uses=[objective, data])
    log = _HistoryBuilder(offset, held_out)
    keep_freed_memory()
    with tqdm(total=n_steps, desc="fit", unit="step", disable=not progress) as shown:
        try:
            for k in range(n_steps):
                log.add(step(learning_rate * rate(k / n_steps)))
                shown.update()
                if log.n_steps % report_every == 0 or log.n_steps == n_steps:
                    shown.set_postfix_str(log.report(averaged.network, learning_rate))
        except KeyboardInterrupt:
            log.report(averaged.network, learning_rate)
            warnings.warn(
                f"fit was interrupted after {log.n_steps} steps: what is learned so far is returned.",
                RuntimeWarning,
                stacklevel=2,
            )
    return log.result(averaged.network)


def _source(
    data: Density | Tensor, like: Tensor, shape: tuple[int, ...], generator: torch.Generator | None
) -> Callable[[], Tensor]:
    """A function that draws the next batch, of shape [*shape, 2]."""
    if isinstance(data, Density):
        density = data.to(like)
        return lambda: density.sample(shape, generator=generator)
    validate.cloud("data", data)
    if not data.isfinite().all():
        bad = int((~data.isfinite().all(-1)).sum())
        raise ValueError(f"data holds {bad} points that are nan or inf, of {len(data)}: remove them first.")
    points = data.detach().to(like)
    return lambda: points[integers(len(points), shape, device=points.device, generator=generator)]


def _offset(objective: Objective, data: Density | Tensor) -> float:
    """The constant between loss and Fisher divergence, or nan where it is not known."""
    if not (isinstance(data, Density) and hasattr(objective, "offset")):
        return math.nan
    try:
        return objective.offset(data)
    except validate.NoDensity:
        raise ValueError(
            f"{data!r} lies on points or on a curve and has no score, but {objective!r} learns that of the clean data: "
            "its loss would fall without bound. Add noise to the data (p.noised(0.1)), or use Denoising(sigma)."
        ) from None
    except (TypeError, ValueError):  # the law has no quadrature, or no score of its own: train all the same
        return math.nan


def _try_once(network: nn.Module, objective: Objective, x: Tensor) -> None:
    """One evaluation of the network at two points: wrong shapes and pairings are told before any step."""
    differentiated = False

    def score(x: Tensor, *sigma: Tensor | float) -> Tensor:
        nonlocal differentiated
        differentiated = differentiated or x.requires_grad or forward_ad.unpack_dual(x).tangent is not None
        s = network(x, *sigma)
        if not isinstance(s, Tensor) or s.shape != x.shape:
            given = list(s.shape) if isinstance(s, Tensor) else type(s).__name__
            raise ValueError(
                f"the network gives {given} for points {list(x.shape)}: a score has the shape of its points. "
                "Give the last layer 2 outputs."
            )
        return s

    losses = objective(score, x, generator=torch.Generator(x.device).manual_seed(0))
    if not isinstance(losses, Tensor) or losses.shape != x.shape[:1]:
        given = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(
            f"the objective gives {given} for 2 points: it must give one loss a point, [2]. "
            "Leave out the mean, and check that the network maps [n, 2] to [n, 2]."
        )
    warn_piecewise_linear(network, differentiated, stacklevel=4)


def _redrawn(network: nn.Module, n: int, generator: torch.Generator | None) -> list[nn.Module]:
    """n more networks of this shape."""
    if not hasattr(network, "redrawn"):
        raise TypeError(
            f"network is a {type(network).__name__}, which has no redrawn(generator), so that n_seeds cannot start "
            "others like it. Give it that method (a copy with fresh weights), or call fit once a seed."
        )
    return [network.redrawn(generator) for _ in range(n)]


def _try_side_by_side(copies: Ensemble, objective: Objective, x: Tensor) -> None:
    """One evaluation at two points a network: an objective that flattens the batch is told before any step."""
    losses = objective(copies, x, generator=torch.Generator(x.device).manual_seed(0))
    if losses.shape != x.shape[:-1]:
        raise ValueError(
            f"the objective gives {list(losses.shape)} for points {list(x.shape)}: with n_seeds it must keep the batch "
            f"dimensions and give {list(x.shape[:-1])}. Leave n_seeds 1 for an objective of [n, 2] points alone."
        )


class _HistoryBuilder:
    """Collects losses on the device and reads them once a report, so that the loop never waits for a GPU."""

    def __init__(self, offset: float, held_out: Measure | None) -> None:
        self.offset, self.held_out = offset, held_out
        self.start, self.aside = time.perf_counter(), 0.0
        self.n_steps, self.pending = 0, []
        self.rows: list[tuple[int, list[float], list[float], float]] = []
        self.last_finite: nn.Module | None = None

    def add(self, losses: Tensor) -> None:
        self.n_steps += 1
        self.pending.append(losses.clone())  # a replay writes the next into the same memory

    def report(self, network: nn.Module, learning_rate: float) -> str:
        if not self.pending:
            return ""
        losses = torch.stack(self.pending).view(len(self.pending), -1)
        mean = losses.mean(0).tolist()
        if not all(math.isfinite(m) for m in mean):
            first = int((~losses.isfinite().all(1)).int().argmax())
            value = next(v for v in losses[first].tolist() if not math.isfinite(v))
            error = FloatingPointError(
                f"the loss became {value} at step {self.n_steps - len(losses) + 1 + first}: the training diverged. "
                f"Lower learning_rate (now {learning_rate:g}) and start again. What was learned by the last report is "
                "in this error's .fit (None before the first)."
            )
            error.fit = None if self.last_finite is None else self.result(self.last_finite)
            raise error
        self.pending.clear()
        now = time.perf_counter()
        self.last_finite = copy.deepcopy(network)
        measured = (
            [math.nan] * len(mean) if self.held_out is None else [float(self.held_out(s)) for s in _single(network)]
        )
        self.rows.append((self.n_steps, mean, measured, now - self.start - self.aside))
        self.aside += time.perf_counter() - now
        value = sum(mean) / len(mean)
        return f"loss {value:.4f}" if math.isnan(self.offset) else f"Fisher divergence {value + self.offset:.4f}"

    def result(self, network: nn.Module) -> Fit:
        networks = _single(network)
        steps = torch.tensor([row[0] for row in self.rows], dtype=torch.int64)
        loss, held_out = (
            torch.tensor([row[i] for row in self.rows], dtype=torch.float64).view(-1, len(networks)).unbind(1)
            for i in (1, 2)
        )
        seconds = torch.tensor([row[3] for row in self.rows], dtype=torch.float64)
        return Fit(
            networks,
            tuple(History(steps, a, a + self.offset, b, seconds) for a, b in zip(loss, held_out, strict=True)),
        )


def _single(network: nn.Module) -> tuple[nn.Module, ...]:
    """The networks one by one."""
    return network.split() if isinstance(network, Ensemble) else (network,)
