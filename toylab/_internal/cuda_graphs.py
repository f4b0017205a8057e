"""A step that is called many times, recorded once as a CUDA graph and replayed.

A small step on a GPU is all launches: thirty to sixty kernels of a few microseconds each, every one of them started by
Python. A CUDA graph starts them all at once. Elsewhere there is nothing to gain, and the step is called as it is.

The rules for a step, the check that it obeys them, the recording and the replay are in this one file: none of them
makes sense without the others.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor, nn

from toylab._internal.devices import draws_on, records
from toylab._internal.display import short
from toylab._internal.remembered import kept_in
from toylab._internal.warn import warn

WARM_UP = 3  # ordinary calls before the recording, in which libraries load and what is kept is made

P = ParamSpec("P")  # what a step takes
R = TypeVar("R")  # what it returns
Record = Callable[[Callable[[], None]], Callable[[], None]]


class Counter(Protocol):
    """Anything that counts its own calls, in ``n``."""

    n: int


def capture_step(
    step: Callable[P, R],
    device: torch.device,
    *,
    generator: torch.Generator | None = None,
    uses: Iterable[object] = (),
    counter: Counter | None = None,
    record: Record | None = None,
) -> Callable[P, R]:
    """``step`` as it is; on a CUDA device, what replays it: called with the same arguments it gives the same results.

    Every call is one step: the first three are ordinary ones, the next is recorded, and from there on all are replays.
    Requirements on ``step``:

    - its arguments are tensors and numbers, or (named) tuples of these, of the same shapes at every call, and its
      results tensors or (named) tuples of them; numbers come to it as float64 tensors without dimensions;
    - it draws from ``generator`` alone, which lives on the device (None is torch's global stream there);
    - it reads no value of a tensor, moves nothing between devices and leaves nothing behind in Python: its Python
      runs while it is recorded, and never again.

    A replay writes into the same memory every time: the results of a call hold until the next.

    Args:
        step: what to repeat.
        device: where its tensors live.
        generator: what it draws from.
        uses: functions of the user's that it calls. Unless each ``changes_nothing``, nothing is recorded.
        counter: counts calls of the score; a replay adds as many as were made while it was recorded.
        record: turns a function without arguments into its replay; None is ``cuda_graph`` on a CUDA device, and no
            recording elsewhere.

    Warns:
        RuntimeWarning: on a CUDA device, where the step cannot be recorded and runs kernel by kernel.
    """
    if record is None and not records(device):
        return step
    if why := _obstacle(device, generator, uses):
        warn(f"running kernel by kernel, several times slower than as a CUDA graph: {why}")
        return step
    return _CapturedStep(step, device, counter, record or (lambda run: cuda_graph(run, device, generator)))


def changes_nothing(f: object) -> bool:
    """Whether a function is known to keep no state in Python that could change between its calls.

    True for tensors, torch modules, frozen dataclasses (densities, objectives) whose functions are so, their methods,
    toylab's own functions, and ``functools.partial`` of these with numbers. False for any other function: it may count
    its calls, or see variables that change, and a replay would go on with their old values.
    """
    if isinstance(f, partial):
        fixed = (*f.args, *f.keywords.values())
        return changes_nothing(f.func) and all(
            isinstance(value, int | float) or changes_nothing(value) for value in fixed
        )
    owner = getattr(f, "__self__", f)
    if isinstance(owner, nn.Module | Tensor):
        return True
    if dataclasses.is_dataclass(owner) and not isinstance(owner, type):
        frozen: bool = type(owner).__dataclass_params__.frozen  # type: ignore[attr-defined]  # typeshed leaves it out
        return frozen and all(
            changes_nothing(part) for part in vars(owner).values() if callable(part) and not isinstance(part, type)
        )
    ours = f"{__name__.partition('.')[0]}."
    plain = inspect.unwrap(f) if callable(f) else f  # the closure of a decorator is its function
    return getattr(plain, "__closure__", ()) is None and (plain.__module__ or "").startswith(ours)


def _obstacle(device: torch.device, generator: torch.Generator | None, uses: Iterable[object]) -> str:
    """Why a step must not be recorded, and what to do; "" if nothing is in its way."""
    if generator is not None and not draws_on(generator, device):
        return (
            f"generator lives on the {generator.device.type}. Give torch.Generator({device.type!r}), which draws other "
            "numbers."
        )
    for f in uses:
        if not changes_nothing(f):
            return (
                f"{short(f)} may keep something that changes between calls, which a graph would not see. Give a method "
                "of a density (p.score), a torch module, or a frozen dataclass with __call__."
            )
    return ""


class _CapturedStep(Generic[P, R]):
    """A step, the number of its calls so far, the memory of its arguments and results, and its replay."""

    results: R

    def __init__(self, step: Callable[P, R], device: torch.device, counter: Counter | None, record: Record) -> None:
        self.step, self.device, self.counter, self.record = step, device, counter, record
        self.n_calls, self.n_counted, self.impossible = 0, 0, False
        self.held: list[object] = []  # what ``remembered`` gave while it was recorded
        self.replay: Callable[[], None] | None = None
        self.leaves: list[Tensor | float] = []  # as they were given last
        self.arguments: list[Tensor] = []

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        leaves = _leaves((args, tuple(kwargs.values())))
        if self.impossible or self.n_calls < WARM_UP:
            self.n_calls += 1
            return self._ordinary([self._tensor(leaf) for leaf in leaves], args, kwargs)
        if self.replay is None:
            self.arguments = [self._tensor(leaf).clone() for leaf in leaves]
            self.leaves = leaves
            try:
                self.replay = self._make_replay(args, kwargs)
            except RuntimeError as error:
                self.impossible = True
                warn(f"this step cannot be recorded as a CUDA graph and runs kernel by kernel: {error}")
                return self(*args, **kwargs)
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor):
                if leaf is not self.arguments[i]:
                    self.arguments[i].copy_(leaf)
            elif leaf != self.leaves[i]:
                self.arguments[i].fill_(leaf)
                self.leaves[i] = leaf
        self.replay()
        if self.counter is not None:
            self.counter.n += self.n_counted
        return self.results

    def _make_replay(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], None]:
        def run() -> None:
            self.results = self._step(self.arguments, args, kwargs)

        before = 0 if self.counter is None else self.counter.n
        try:
            with kept_in(self.held):
                return self.record(run)
        finally:
            if self.counter is not None:  # what was recorded has not been executed
                self.n_counted, self.counter.n = self.counter.n - before, before

    def _ordinary(self, leaves: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        """One step, kernel by kernel; before a recording on a stream of its own, as CUDA graphs ask for."""
        if not records(self.device) or self.impossible:
            return self._step(leaves, args, kwargs)
        with torch.cuda.device(self.device):
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                results = self._step(leaves, args, kwargs)
            here.wait_stream(aside)
            for leaf in _leaves(results):
                leaf.record_stream(here)
        return results

    def _step(self, leaves: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        """The step, called with ``leaves`` in place of the tensors and numbers in ``args`` and ``kwargs``."""
        rest = iter(leaves)
        return self.step(*_with_leaves(args, rest), **{name: _with_leaves(part, rest) for name, part in kwargs.items()})

    def _tensor(self, leaf: Tensor | float) -> Tensor:
        if isinstance(leaf, Tensor):
            return leaf
        return torch.full((), leaf, dtype=torch.float64, device=self.device)


def _leaves(tree: object) -> list[Any]:
    """The tensors and numbers in nested (named) tuples, from left to right."""
    return [leaf for part in tree for leaf in _leaves(part)] if isinstance(tree, tuple) else [tree]


def _with_leaves(tree: Any, leaves: Iterator[Tensor]) -> Any:  # noqa: ANN401
    """The same nested (named) tuples of other leaves."""
    if not isinstance(tree, tuple):
        return next(leaves)
    parts = [_with_leaves(part, leaves) for part in tree]
    return tree._make(parts) if hasattr(tree, "_make") else tuple(parts)


def cuda_graph(
    run: Callable[[], None], device: torch.device, generator: torch.Generator | None = None
) -> Callable[[], None]:
    """A replay of what ``run`` launches; it is recorded, not executed. Every replay draws new numbers.

    Raises:
        RuntimeError: if ``run`` does what no graph can hold; the generator is then as it was.
    """
    with torch.cuda.device(device):
        own = torch.cuda.default_generators[torch.cuda.current_device()] if generator is None else generator
        before = own.clone_state()  # a recording that fails leaves the generator waiting for its end
        graph = torch.cuda.CUDAGraph()
        if generator is not None:
            graph.register_generator_state(generator)
        try:
            # the outer context brings the stream back also where the end of a failed recording raises
            with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
                run()
        except RuntimeError:
            own.graphsafe_set_state(before)
            raise
    return graph.replay
