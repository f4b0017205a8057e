"""Where a training stands: all that the next step depends on, so that another call can take it."""

import dataclasses
import hashlib
import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.warn import warn

Row = tuple[int, list[float], list[float], float]  # of a history: steps, losses, held out, seconds
_SETTINGS = ("activation", "data_mean", "data_std", "gain", "sigma_unit", "n_classes")  # of ours, beside their weights


class Given(NamedTuple):
    """An argument of ``fit``, as two calls are compared: a digest of what it is, and a few words."""

    digest: str
    shown: str


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainingState:
    """Where a training stands after ``n_steps`` steps.

    Attributes:
        n_steps: how many were taken.
        call: the arguments that another call must share.
        rates: the learning rate of each step taken, shape [n_steps].
        tensors: weights and buffers, their averages, and Adam's moments and counts.
        generator: its state, or None where torch's global stream was used.
        rows: the regular entries of the histories.
        pending: losses since the last of them, shape [steps, networks].
        seconds: time spent.
    """

    n_steps: int
    call: dict[str, Given]
    rates: Tensor
    tensors: tuple[Tensor, ...]
    generator: Tensor | None
    rows: list[Row]
    pending: Tensor
    seconds: float

    def content(self) -> dict[str, Any]:
        """All of it as plain values and tensors on the CPU, each in memory of its own."""
        call = {name: tuple(given) for name, given in self.call.items()}
        tensors = [tensor.to("cpu", copy=True) for tensor in self.tensors]
        return {**vars(self), "call": call, "tensors": tensors, "pending": self.pending.cpu()}

    @staticmethod
    def of_content(content: dict[str, Any]) -> "TrainingState":
        """What ``content`` gave."""
        call = {name: Given(*given) for name, given in content["call"].items()}
        return TrainingState(**{**content, "call": call, "tensors": tuple(content["tensors"])})

    def check(self, call: dict[str, Given], rates: Tensor) -> None:
        """Raise ``ValueError`` unless a call with these arguments can go on from here; warn if others led here."""
        for name, given in call.items():
            if self.call[name].digest != given.digest:
                raise ValueError(
                    f"{name} is {given.shown}, and resume holds a training with {self.call[name].shown}: give the "
                    "same. To train on from its weights alone, give its network, and no resume."
                )
        if len(rates) < self.n_steps:
            raise ValueError(
                f"n_steps is {len(rates)}, and resume holds a training of {self.n_steps} steps, which n_steps counts, "
                f"too: give at least {self.n_steps}."
            )
        if not torch.equal(rates[: self.n_steps], self.rates):
            warn(
                f"the first {self.n_steps} steps were taken with other learning rates than this call has for them: it "
                "goes on from where they led, which is not where one call would have come. For that give the same "
                "learning_rate, rate and n_steps, or rate=constant throughout."
            )


def call_of(
    network: nn.Module, objective: object, data: object, generator: torch.Generator | None, **counts: float
) -> dict[str, Given]:
    """What two calls of ``fit`` must share so that one can go on where the other stopped."""
    stream = "torch's global stream" if generator is None else f"a generator on {generator.device}"
    values = {"network": network, "objective": objective, "data": data, **counts}
    given = {name: Given(_digest(value), _shown(value)) for name, value in values.items()}
    return {**given, "generator": Given(stream, stream)}


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"points {list(value.shape)}"
    return f"a {type(value).__name__}" if isinstance(value, nn.Module) else short(value)


def _digest(value: object) -> str:
    return hashlib.sha256("\n".join(_parts(value)).encode()).hexdigest()


def _parts(value: Any) -> Iterable[str]:  # noqa: ANN401
    """What a value is, in words that are the same in another process: a function is known by its name."""
    if isinstance(value, Tensor):
        entries = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        yield f"{value.dtype} {list(value.shape)} {hashlib.sha256(entries).hexdigest()}"
    elif isinstance(value, nn.Module):  # whatever its weights are
        yield _name(type(value))
        for name, part in (*value.named_parameters(), *value.named_buffers()):
            yield f"{name} {part.dtype} {list(part.shape)}"
        for name in _SETTINGS:
            yield from _parts(getattr(value, name, None))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield _name(type(value))
        for field in dataclasses.fields(value):
            yield from (field.name, *_parts(getattr(value, field.name)))
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from (str(name), *_parts(part))
    elif isinstance(value, list | tuple):
        yield f"{len(value)} entries"
        for part in value:
            yield from _parts(part)
    elif isinstance(value, partial):
        yield from (*_parts(value.func), *_parts(value.args), *_parts(value.keywords))
    elif inspect.ismethod(value):
        yield from (_name(value.__func__), *_parts(value.__self__))
    elif validate.is_number(value) and abs(value) < 2**53:  # of Python or NumPy, whole or not
        yield repr(float(value))
    elif value is None or isinstance(value, bool | int | complex | str):
        yield repr(value)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {list(value.shape)} {hashlib.sha256(value.tobytes()).hexdigest()}"
    else:
        yield _name(value if hasattr(value, "__qualname__") else type(value))


def _name(value: Any) -> str:  # noqa: ANN401
    return f"{getattr(value, '__module__', '')}.{value.__qualname__}"
