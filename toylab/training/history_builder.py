"""How a history is written while the training runs, without waiting for the device at every step."""

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from toylab.training.ensemble import single_networks
from toylab.training.history import History
from toylab.training.result import Fit, TrainingDiverged
from toylab.training.state import Row, TrainingState
from toylab.training.trial import measured


class HistoryBuilder:
    """Collects losses on the device and reads them once per report, so that the loop never waits for a GPU.

    Args:
        offset: mean loss + offset = the Fisher divergence; nan where it is not known.
        held_out: a number to record at each report from each averaged network, or None.
    """

    def __init__(self, offset: float, held_out: Callable[[Any], float] | None) -> None:
        self.offset, self.held_out = offset, held_out
        self.n_steps, self.start, self.aside = 0, time.perf_counter(), 0.0
        self.pending: list[Tensor] = []
        self.rows: list[Row] = []
        self.last_finite: nn.Module | None = None

    def go_on(self, state: TrainingState, device: torch.device) -> None:
        """Take over the histories of a training that stands there."""
        self.n_steps, self.rows, self.start = state.n_steps, list(state.rows), self.start - state.seconds
        self.pending = list(state.pending.to(device))

    def add(self, losses: Tensor) -> Tensor:
        """Add the mean loss of one step, per network, and return it, in memory of its own."""
        self.n_steps += 1
        self.pending.append(losses.clone())  # a replay writes the next into the same memory
        return self.pending[-1]

    def report(self, network: nn.Module, learning_rate: float) -> str:
        """Write an entry, for the averaged network as it is now, and return a line for the progress bar.

        Raises:
            TrainingDiverged: if a loss since the last report is nan or inf.
        """
        if not self.pending:
            return ""
        losses = torch.stack(self.pending).view(len(self.pending), -1)
        mean: list[float] = losses.mean(0).tolist()
        if not all(math.isfinite(m) for m in mean):
            raise self._diverged(losses, learning_rate)
        self.pending.clear()
        now = time.perf_counter()
        self.last_finite = copy.deepcopy(network)
        held_out = [math.nan] * len(mean)
        if self.held_out is not None:
            held_out = [measured(self.held_out, s) for s in single_networks(network)]
        self.rows.append((self.n_steps, mean, held_out, now - self.start - self.aside))
        self.aside += time.perf_counter() - now
        value = sum(mean) / len(mean)
        return f"loss {value:.4f}" if math.isnan(self.offset) else f"Fisher divergence {value + self.offset:.4f}"

    @property
    def seconds(self) -> float:
        """Time since the start, without that spent on ``held_out``."""
        return time.perf_counter() - self.start - self.aside

    def result(self, network: nn.Module, state: TrainingState | None = None) -> Fit[Any]:
        """The networks, one by one, each with its history; and where their training stands, to go on from."""
        networks = single_networks(network)
        steps = torch.tensor([row[0] for row in self.rows], dtype=torch.int64, device="cpu")
        loss, held_out = (
            torch.tensor([row[i] for row in self.rows], dtype=torch.float64, device="cpu")
            .view(-1, len(networks))
            .unbind(1)
            for i in (1, 2)
        )
        seconds = torch.tensor([row[3] for row in self.rows], dtype=torch.float64, device="cpu")
        return Fit(
            networks,
            tuple(History(steps, a, a + self.offset, b, seconds) for a, b in zip(loss, held_out, strict=True)),
            state,
        )

    def _diverged(self, losses: Tensor, learning_rate: float) -> TrainingDiverged:
        first = int((~losses.isfinite().all(1)).int().argmax())
        value = next(v for v in losses[first].tolist() if not math.isfinite(v))
        return TrainingDiverged(
            f"the loss became {value} at step {self.n_steps - len(losses) + 1 + first}: the training diverged. "
            f"Lower learning_rate (now {learning_rate:g}) and start again. What was learned by the last report is "
            "in this error's .fit (None before the first).",
            None if self.last_finite is None else self.result(self.last_finite),
        )
