"""The one loop that all samplers share, and its parts: frames, a count of evaluations, a progress bar, Ctrl-C."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from toylab._internal import devices, user_functions, validate
from toylab._internal.cuda_graphs import capture_step
from toylab._internal.malloc import keep_freed_memory
from toylab._internal.warn import warn
from toylab.samplers.chains import Chains
from toylab.samplers.diagnosis import Watch, attempt, carried_off, cause_of_divergence

if TYPE_CHECKING:
    from toylab._kernels.run import Run

P = ParamSpec("P")  # what a score takes
S = TypeVar("S")  # state: points x [n, 2], or a tuple that begins with them


class CountingScore(Generic[P]):
    """A score that counts how often it was evaluated. Its first values are checked.

    Args:
        score: the user's function, of points and perhaps more.
        name: what messages call it.
        finite: whether its first values must be finite; if not, they are not read.
    """

    def __init__(self, score: Callable[P, Tensor], name: str = "score", *, finite: bool = True) -> None:
        self.score, self.name, self.finite, self.n = score, name, finite, 0
        self.last: tuple[Tensor, tuple[Any, ...], Tensor] | None = None  # x, what came with it, and s: no copies

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        """The score's value; an evaluation that raised is not counted."""
        x: Any = args[0]
        if self.n:
            self.last = None  # its memory is what this evaluation can use
            s = self.score(*args, **kwargs)
        else:
            s = user_functions.call_score(self.name, self.score, x, *args[1:])
            if self.finite:
                user_functions.finite_values(self.name, s, x)
        self.n += 1
        self.last = x, args[1:], s
        return s

    def again(self, x: Tensor) -> Tensor:
        """The score at other points, as many as last time, with what else it was given then; not counted."""
        rest = () if self.last is None else self.last[1]
        ask: Callable[..., Tensor] = self.score
        return ask(x, *rest)


class Recorder:
    """Frames of a running sampler, written into one buffer of the size they will need."""

    def __init__(
        self, x: Tensor, n_steps: int, keep_every: int | None, label: float = 0.0, remedy: str = "a smaller step_size"
    ) -> None:
        self.n_steps, self.remedy = (
            validate.count("n_steps", n_steps, least=0),
            remedy,
        )  # what to take if chains diverge
        self.start = self.last = x  # and where each was finite for the last time
        self.keep_every = None if keep_every is None else validate.count("keep_every", keep_every)
        frames = 0 if self.keep_every is None else self.n_steps // self.keep_every + 1
        self.path, self.labels = _frames(x, frames), torch.empty(frames, dtype=torch.float64, device="cpu")
        self.filled = self.step = self.steps_all_alive = 0
        self.steps_alive = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if frames:
            self._write(x, label)

    def append(self, x: Tensor, label: float | None = None) -> None:
        """Record the next step; its label is its number unless ``label`` is given."""
        self.step += 1
        if devices.at_hand(x.device) and math.isfinite(x.sum().item()):  # quick; if the sum is finite, every term is
            self.steps_all_alive += 1
            self.last = x
        else:
            alive = x.isfinite().all(-1)
            self.steps_alive += alive
            self.last = torch.where(alive[:, None], x, self.last)
        if self.keep_every and self.step % self.keep_every == 0:
            self._write(x, self.step if label is None else label)

    def run(self, sizes: Sequence[float], temperature: float, generator: torch.Generator | None) -> "Run":
        """What a kernel needs to take all steps x' = x + eps/2 .. + sqrt(T eps) z and to record them here.

        Args:
            sizes: eps of each step.
            temperature: T.
            generator: what the seed is drawn from; None is torch's global stream.
        """
        from toylab._kernels.random import draw_seed
        from toylab._kernels.run import Run

        eps = torch.tensor(sizes, dtype=torch.float64, device="cpu")
        halves, roots = (0.5 * eps).to(self.start), (temperature * eps).sqrt().to(self.start)
        seed = draw_seed(self.start.device, generator)
        self.last = self.start.clone(memory_format=torch.contiguous_format)
        return Run(seed, halves, roots, self.path, self.keep_every or 0, self.last, self.steps_alive)

    def skip(self, n_steps: int, labels: Sequence[float] | None) -> None:
        """Count steps that a kernel has taken and recorded; ``labels`` of all steps, or None for their numbers."""
        before, self.step = self.step, self.step + n_steps
        if not self.keep_every:
            return
        due = range(before // self.keep_every + 1, self.step // self.keep_every + 1)
        for frame in due:
            step = frame * self.keep_every
            self.labels[frame] = step if labels is None else labels[step - 1]
        self.filled += len(due)

    def chains(
        self,
        x: Tensor,
        n_evaluations: int,
        accepted: Tensor | None = None,
        *,
        score: "CountingScore[...] | None" = None,
        watch: Watch | None = None,
        step_size: float = 1.0,
        in_box: bool = False,
    ) -> Chains:
        """The result; and one warning, if something went wrong.

        Args:
            x: where the chains ended, [n, 2].
            n_evaluations: of the score.
            accepted: how many proposals each chain accepted, [n]; None for samplers that never refuse.
            score: the score that carried them, from which the cause is told.
            watch: the same for samplers that refuse.
            step_size: of the last step.
            in_box: whether walls keep the chains in: a score may push them against one.
        """
        diverged = ~x.isfinite().all(-1)
        if diverged.any():
            warn(
                f"{int(diverged.sum())} of {len(x)} chains diverged to inf or nan by step {self.step}: they are marked "
                f"in Chains.diverged. {self._cause(score, diverged, in_box)}"
            )
        elif watch is not None and accepted is not None and self.step:
            told = attempt(lambda: watch.verdict(self.start, x, accepted, self.step, step_size))
            if told:
                warn(told)
        elif score is not None and not in_box and (last := score.last) is not None:
            told = attempt(lambda: carried_off(score.again, self.start, last[0], last[2]))
            if told:
                warn(told)
        acceptance = x.new_ones(len(x)) if accepted is None else accepted / max(self.step, 1)
        diverged_at = torch.where(diverged, self.steps_all_alive + self.steps_alive + 1, 0)
        x = x.clone() if devices.records(x.device) else x  # it may lie in memory that a graph writes to
        path, labels = self.path[: self.filled], self.labels[: self.filled]
        return Chains(x, path, labels, acceptance, diverged, diverged_at, n_evaluations)

    def _cause(self, score: "CountingScore[...] | None", diverged: Tensor, in_box: bool) -> str:
        ask = None if score is None or score.last is None else score.again
        told = attempt(lambda: cause_of_divergence(ask, self.start, self.last, diverged, self.remedy, in_box=in_box))
        return told or f"Take {self.remedy}."

    def _write(self, x: Tensor, label: float) -> None:
        self.path[self.filled], self.labels[self.filled] = x, label
        self.filled += 1


def _frames(x: Tensor, n: int) -> Tensor:
    """Room for n frames of the points x; raise ``ValueError`` if there is none."""
    try:
        return x.new_empty((n, *x.shape))
    except RuntimeError as error:
        size = n * x.numel() * x.element_size() / 2**30
        raise ValueError(
            f"a path of {n} frames of {len(x)} chains takes {size:.3g} GiB, more than there is: give a larger "
            "keep_every."
        ) from error


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
    counter: CountingScore[...] | None = None,
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
    validate.generator(generator)
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
    counter: CountingScore[...] | None,
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
