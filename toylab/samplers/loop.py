"""The one loop that all samplers share, and its parts: frames, a count of evaluations, a progress bar, Ctrl-C."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from toylab._internal import validate
from toylab._internal.cuda_graphs import capture_step
from toylab._internal.malloc import keep_freed_memory
from toylab._internal.warn import warn
from toylab.samplers.chains import Chains

P = ParamSpec("P")  # what a score takes
R = TypeVar("R")  # what it returns
S = TypeVar("S")  # state: points x [n, 2], or a tuple that begins with them


class CountingScore(Generic[P, R]):
    """A score that counts how often it was evaluated; or another function, counted ``together`` with it."""

    def __init__(self, score: Callable[P, R], together: "CountingScore[..., Any] | None" = None) -> None:
        self.score, self.n, self.together = score, 0, together

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The score's value; an evaluation that raised is not counted."""
        s = self.score(*args, **kwargs)
        counter = self.together or self
        counter.n += 1
        return s


class Recorder:
    """Frames of a running sampler, written into one buffer of the size they will need."""

    def __init__(
        self, x: Tensor, n_steps: int, keep_every: int | None, label: float = 0.0, remedy: str = "a smaller step_size"
    ) -> None:
        self.n_steps, self.remedy = n_steps, remedy  # what to take if chains diverge
        self.keep_every = None if keep_every is None else validate.count("keep_every", keep_every)
        frames = 0 if keep_every is None else n_steps // keep_every + 1
        self.path, self.labels = x.new_empty((frames, *x.shape)), torch.empty(frames, dtype=torch.float64)
        self.filled = self.step = self.steps_all_alive = 0
        self.steps_alive = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if frames:
            self._write(x, label)

    def append(self, x: Tensor, label: float | None = None) -> None:
        """Record the next step; its label is its number unless ``label`` is given."""
        self.step += 1
        if x.device.type == "cpu" and math.isfinite(x.sum().item()):  # quick; if the sum is finite, every term is
            self.steps_all_alive += 1
        else:
            self.steps_alive += x.isfinite().all(-1)
        if self.keep_every and self.step % self.keep_every == 0:
            self._write(x, self.step if label is None else label)

    def chains(self, x: Tensor, n_evaluations: int, accepted: Tensor | None = None) -> Chains:
        """The result, for chains that ended at ``x``; ``accepted`` counts the proposals that each accepted."""
        diverged = ~x.isfinite().all(-1)
        if diverged.any():
            warn(
                f"{int(diverged.sum())} of {len(x)} chains diverged to inf or nan by step {self.step}: they are marked "
                f"in Chains.diverged. Take {self.remedy}."
            )
        acceptance = x.new_ones(len(x)) if accepted is None else accepted / max(self.step, 1)
        diverged_at = torch.where(diverged, self.steps_all_alive + self.steps_alive + 1, 0)
        x = x.clone() if x.device.type == "cuda" else x  # it may lie in memory that a graph writes to
        path, labels = self.path[: self.filled], self.labels[: self.filled]
        return Chains(x, path, labels, acceptance, diverged, diverged_at, n_evaluations)

    def _write(self, x: Tensor, label: float) -> None:
        self.path[self.filled], self.labels[self.filled] = x, label
        self.filled += 1


@dataclass(frozen=True, eq=False)
class Leg(Generic[S]):
    """Steps of one kind, taken one after the other.

    Attributes:
        step: takes the state and a setting, returns the next state.
        settings: one per step: a number, such as its size, or a tuple of numbers, such as the times before and after.
        labels: one per step, for the frame after it; None labels it with the number of the step, counted over all legs.
    """

    step: Callable[[S, Any], S]
    settings: Sequence[float | tuple[float, ...]]
    labels: Sequence[float] | None = None


def follow(
    name: str,
    legs: Iterable[Leg[S]],
    state: S,
    recorder: Recorder,
    *,
    uses: Iterable[object] | None = None,
    generator: torch.Generator | None = None,
    counter: CountingScore[..., Any] | None = None,
    progress: bool = True,
) -> S:
    """Take every step of every leg, record the points after each, and return the state after the last.

    Ctrl-C returns the state after the last step that was finished.

    Args:
        name: of the sampler, for the bar and the message on Ctrl-C.
        legs: the steps; most samplers have one leg.
        state: where the chains start: x [n, 2], or a tuple that begins with x, or with such a tuple.
        recorder: records x after each step.
        uses: functions of the user's that the steps call, or None. If given, the steps are recorded as CUDA graphs on
            a GPU (see ``capture_step``); each must then depend on its state, its setting and ``generator`` only.
        generator: what the steps draw from.
        counter: the score, if it is counted.
        progress: show a bar when it takes long.
    """
    with progress_bar(name, recorder.n_steps, progress) as shown:
        for leg in legs:
            step = leg.step if uses is None else _capture_leg(leg, _points(state).device, uses, generator, counter)
            labels = repeat(None, len(leg.settings)) if leg.labels is None else leg.labels
            for setting, label in zip(leg.settings, labels, strict=True):
                state = step(state, setting)
                recorder.append(_points(state), label)
                shown.update()
    return state


def _capture_leg(
    leg: Leg[S],
    device: torch.device,
    uses: Iterable[object],
    generator: torch.Generator | None,
    counter: CountingScore[..., Any] | None,
) -> Callable[[S, Any], S]:
    """The step of a leg, on a GPU as a CUDA graph; a setting that never changes becomes a number in the graph."""
    first = leg.settings[0]
    if leg.settings.count(first) < len(leg.settings):
        return capture_step(leg.step, device, generator=generator, uses=uses, counter=counter)
    step = capture_step(
        lambda state: leg.step(state, first), device, generator=generator, uses=uses, counter=counter
    )  # fmt: skip
    return lambda state, _: step(state)


def _points(state: Any) -> Tensor:  # noqa: ANN401
    """The points x with which a state begins."""
    while isinstance(state, tuple):
        state = state[0]
    x: Tensor = state
    return x


@contextmanager
def progress_bar(name: str, n_steps: int, progress: bool) -> Iterator[tqdm]:
    """Around a loop: a progress bar, shown if it lasts over a second; Ctrl-C inside ends the block with a warning."""
    keep_freed_memory()
    with tqdm(total=n_steps, desc=name, unit="step", delay=1.0, disable=not progress, leave=False) as shown:
        try:
            yield shown
        except KeyboardInterrupt:
            warn(f"{name} was interrupted: what is done so far is returned.")
