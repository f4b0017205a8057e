"""What every sampler returns, and the two things every loop needs: a record of frames and a way to be stopped."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from toylab._internal import validate
from toylab._internal.malloc import keep_freed_memory


@dataclass(frozen=True, eq=False)
class Chains:
    """A cloud of n chains, run in parallel.

    Attributes:
        samples: where the chains ended, shape [n, 2].
        path: kept frames, shape [frames, n, 2], the start first; no frame unless ``keep_every`` was given.
        labels: what each frame is labelled with, shape [frames]: the step, the noise level for annealed samplers, or
            the time of an SDE.
        acceptance: share of proposals each chain accepted, shape [n]; all ones for samplers that never refuse.
        diverged: chains that left to inf or nan, shape [n].
        diverged_at: the step at which each of them did, 0 for those that did not, shape [n].
        n_evaluations: evaluations of the score for each chain, those of a run that was interrupted included.
    """

    samples: Tensor
    path: Tensor
    labels: Tensor
    acceptance: Tensor
    diverged: Tensor
    diverged_at: Tensor
    n_evaluations: int


class CountingScore:
    """A score that counts how often it was evaluated; or another function, counted ``together`` with it."""

    def __init__(self, score: Callable[..., Tensor], together: "CountingScore | None" = None) -> None:
        self.score, self.n, self.together = score, 0, together

    def __call__(self, *arguments: Tensor | float) -> Tensor:
        """What the score gives; an evaluation that did not come back is not counted."""
        s = self.score(*arguments)
        counter = self.together or self
        counter.n += 1
        return s


class Recorder:
    """Frames of a running sampler, written into one buffer of the size they will need."""

    def __init__(
        self, x: Tensor, n_steps: int, keep_every: int | None, label: float = 0.0, remedy: str = "a smaller step_size"
    ) -> None:
        self.remedy = remedy  # what to take if chains diverge
        self.keep_every = None if keep_every is None else validate.count("keep_every", keep_every)
        frames = 0 if keep_every is None else n_steps // keep_every + 1
        self.path, self.labels = x.new_empty((frames, *x.shape)), torch.empty(frames, dtype=torch.float64)
        self.filled = self.step = self.steps_all_alive = 0
        self.steps_alive = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if frames:
            self._write(x, label)

    def append(self, x: Tensor, label: float | None = None) -> None:
        """Take note of the next step; its label is its number unless ``label`` is given."""
        self.step += 1
        if x.device.type == "cpu" and math.isfinite(x.sum().item()):  # quick, and then every term is finite
            self.steps_all_alive += 1
        else:
            self.steps_alive += x.isfinite().all(-1)
        if self.keep_every and self.step % self.keep_every == 0:
            self._write(x, self.step if label is None else label)

    def chains(self, x: Tensor, n_evaluations: int, accepted: Tensor | None = None) -> Chains:
        """The result, for chains that stand at ``x`` and have accepted so many proposals each."""
        diverged = ~x.isfinite().all(-1)
        if diverged.any():
            warnings.warn(
                f"{int(diverged.sum())} of {len(x)} chains diverged to inf or nan by step {self.step}: they are marked "
                f"in Chains.diverged. Take {self.remedy}.",
                RuntimeWarning,
                stacklevel=3,
            )
        acceptance = x.new_ones(len(x)) if accepted is None else accepted / max(self.step, 1)
        diverged_at = torch.where(diverged, self.steps_all_alive + self.steps_alive + 1, 0)
        x = x.clone() if x.device.type == "cuda" else x  # it may lie in memory that a graph writes to
        path, labels = self.path[: self.filled], self.labels[: self.filled]
        return Chains(x, path, labels, acceptance, diverged, diverged_at, n_evaluations)

    def _write(self, x: Tensor, label: float) -> None:
        self.path[self.filled], self.labels[self.filled] = x, label
        self.filled += 1


@contextmanager
def progress_bar(name: str, n_steps: int, progress: bool) -> Iterator[tqdm]:
    """Round a loop: a progress bar, shown if it lasts over a second; Ctrl-C inside ends the block with a warning."""
    keep_freed_memory()
    with tqdm(total=n_steps, desc=name, unit="step", delay=1.0, disable=not progress, leave=False) as shown:
        try:
            yield shown
        except KeyboardInterrupt:
            warnings.warn(f"{name} was interrupted: what is done so far is returned.", RuntimeWarning, stacklevel=3)
