"""Going on with a training where another call has left it."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch
from torch import nn

from toylab.training.adam import Adam
from toylab.training.averaging import WeightAverage
from toylab.training.history_builder import HistoryBuilder
from toylab.training.result import Fit
from toylab.training.saving import load_training
from toylab.training.state import Given, TrainingState


class Standing:
    """A training under way: all of it that changes from step to step.

    Args:
        call: the arguments that a call that goes on must share.
        trained: the network in training, or several side by side.
        averaged: the average of their weights.
        optimiser: which moves them.
        history: what was recorded.
        rates: the learning rate of each step of the call.
        generator: source of randomness; None is torch's global stream.
    """

    def __init__(
        self,
        call: dict[str, Given],
        trained: nn.Module,
        averaged: WeightAverage,
        optimiser: Adam,
        history: HistoryBuilder,
        rates: Sequence[float],
        generator: torch.Generator | None,
    ) -> None:
        self._call, self._history, self._generator = call, history, generator
        self._rates = torch.tensor(rates, dtype=torch.float64, device="cpu")
        networks = (trained, averaged.network)
        self._tensors = [part for each in networks for part in (*each.parameters(), *each.buffers())]
        self._tensors += optimiser.tensors

    def now(self) -> TrainingState:
        """Where it stands; nothing is copied, as the training is over."""
        history, generator = self._history, self._generator
        return TrainingState(
            n_steps=history.n_steps,
            call=self._call,
            rates=self._rates[: history.n_steps],
            tensors=tuple(tensor.detach() for tensor in self._tensors),
            generator=None if generator is None else generator.get_state(),
            rows=list(history.rows),
            pending=torch.stack(history.pending) if history.pending else torch.empty(0, device="cpu"),
            seconds=history.seconds,
        )

    def go_on_from(self, state: TrainingState) -> None:
        """Bring everything to where another training stands.

        Raises:
            ValueError: if it had other arguments.

        Warns:
            RuntimeWarning: if it had other learning rates.
        """
        state.check(self._call, self._rates)
        with torch.no_grad():
            for own, value in zip(self._tensors, state.tensors, strict=True):
                own.copy_(value)
        if self._generator is not None and state.generator is not None:
            self._generator.set_state(state.generator)
        self._history.go_on(state, self._tensors[0].device)


def state_of(resume: Fit[Any] | str | PathLike[str]) -> TrainingState:
    """Where a training stands that is given as a ``Fit`` or as a file, or raise."""
    if not isinstance(resume, Fit):
        if not isinstance(resume, str | PathLike):
            raise TypeError(
                f"resume is a {type(resume).__name__}: give what fit returned, or the file that its "
                "save(path, state=True) wrote."
            )
        return load_training(resume)
    if resume.state is None:
        raise ValueError("resume has no state, as a training that diverged: give its network, and no resume.")
    return resume.state
