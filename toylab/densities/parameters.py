"""A density's parameters are its attributes: its equality, repr, copies, dtype and device follow from them."""

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from toylab._internal import validate
from toylab._internal.devices import at_hand, refuse_without_float64
from toylab._internal.display import reason, short

Vector: TypeAlias = Tensor | Sequence[float]
Matrix: TypeAlias = Tensor | Sequence[Sequence[float]]
Matrices: TypeAlias = Tensor | Sequence[Sequence[float]] | Sequence[Sequence[Sequence[float]]]

_MOST_PRINTED = 64  # entries of a tensor in a repr


class Parameters:
    """What a density is made of: whatever its ``__init__`` set, numbers, tensors, other densities.

    The library's densities keep theirs in float64 on the CPU, as exactly as they were written (``_hold``), and cast
    them to the dtype and device of the points at every call (``_cast``).
    """

    _dtype: torch.dtype | None = None
    _device: torch.device | None = None
    _held: frozenset[str] = frozenset()  # names of the parameters that are kept in float64 on the CPU
    _noted: ClassVar = frozenset({"_dtype", "_device", "_held", "_kept"})  # attributes that are no parameters

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Refuse a class whose attributes cannot be its parameters."""
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "__slots__" in own:
            raise TypeError(
                f"{cls.__name__} has __slots__: a density keeps its parameters in ordinary attributes. "
                "Leave out slots=True."
            )
        for name in ("dtype", "device"):
            if name in own or name in inspect.get_annotations(cls):
                raise TypeError(
                    f"{cls.__name__} defines {name}: every density has one, that of its samples, and "
                    f"density.to({name}) changes it. Leave it out, or choose another name."
                )
        for name in ("__eq__", "__hash__", "__repr__"):
            if name not in own:  # as the class's own, @dataclass does not replace it
                setattr(cls, name, getattr(cls, name))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the samples; ``to`` changes it."""
        return self._dtype or _promote([part.dtype for part in self._parts()]) or torch.get_default_dtype()

    @property
    def device(self) -> torch.device:
        """The device of the samples; ``to`` changes it."""
        return self._device or next((part.device for part in self._parts()), torch.device("cpu"))

    def to(self, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401  (as Tensor.to, which has three forms)
        """The same law, sampling in another dtype or on another device; arguments as for ``Tensor.to``.

        Tensors among the attributes of a class of one's own move along, and so do networks: a copy, where they change.
        """
        for given in (*args, *kwargs.values()):
            if isinstance(given, Tensor | torch.device | str):
                refuse_without_float64("device", given)
        try:
            like = torch.empty(0, dtype=self.dtype, device=self.device).to(*args, **kwargs)
        except (TypeError, RuntimeError, AssertionError) as error:  # of a torch without CUDA it is an AssertionError
            given = ", ".join([*map(short, args), *(f"{name}={short(value)}" for name, value in kwargs.items())])
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"to({given}) is no move: give a dtype, a device or both, as in to(torch.float64) or to('cuda'). torch "
                f"says: {reason(error)}"
            ) from None
        if not like.is_floating_point():
            raise TypeError(f"dtype is {like.dtype}: samples are floating point. Give torch.float32 or torch.float64.")
        other = copy.copy(self)
        vars(other).update(
            {name: _move(value, like) for name, value in self._attributes().items() if name not in self._held},
            _dtype=like.dtype,
            _device=like.device,
        )
        return other

    def __repr__(self) -> str:
        """As it is built; tensors as lists, long ones by their shape."""
        arguments = [f"{name}={_text(v)}" for name, v in self._attributes().items() if not name.startswith("_")]
        dtype = "" if self.dtype == torch.get_default_dtype() else f".to({self.dtype})"
        device = "" if at_hand(self.device) else f".to({str(self.device)!r})"
        return f"{type(self).__name__}({', '.join(arguments)}){dtype}{device}"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Parameters):
            return NotImplemented
        if (self.dtype, self.device) != (other.dtype, other.device):
            return False
        mine, theirs = self._attributes(), other._attributes()
        return mine.keys() == theirs.keys() and all(_same(value, theirs[name]) for name, value in mine.items())

    def __hash__(self) -> int:
        # of numbers and words only: other attributes need not be hashable
        return hash((type(self), *(v for v in self._attributes().values() if isinstance(v, float | int | str))))

    def __getstate__(self) -> dict[str, Any]:
        return self._attributes() | {name: vars(self)[name] for name in self._noted & vars(self).keys() - {"_kept"}}

    def _attributes(self) -> dict[str, Any]:
        """What its ``__init__`` set: not the bookkeeping of the base, nor what is computed once and kept."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in self._noted and not isinstance(getattr(type(self), name, None), functools.cached_property)
        }

    def _parts(self) -> "Iterator[Tensor | Parameters]":
        """What its dtype and device follow: floating-point tensors and densities among the attributes."""
        for name, value in self._attributes().items():
            for part in _leaves(value) if name not in self._held else []:
                if isinstance(part, Parameters) or (isinstance(part, Tensor) and part.is_floating_point()):
                    yield part

    def _hold(self, **parameters: Matrices | Vector) -> None:
        """Keep parameters in float64 on the CPU, as exactly as they were written; ``_cast`` brings them to the points.

        Samples follow the tensors among them in dtype and device.
        """
        given = [value for value in parameters.values() if isinstance(value, Tensor)]
        for name, value in parameters.items():
            if isinstance(value, Tensor):
                refuse_without_float64(name, value)
        held = {name: to_float64(name, value) for name, value in parameters.items()}
        vars(self).update(
            held,
            _held=self._held | held.keys(),
            _dtype=self._dtype or _promote([value.dtype for value in given if value.is_floating_point()]),
            _device=self._device or (given[0].device if given else None),
        )

    def _cast(self, like: Tensor, make: Callable[[], tuple[Any, ...]], use: str = "points") -> tuple[Any, ...]:
        """What ``make`` builds in float64, cast to the dtype and device of ``like``; kept once cast."""
        kept: dict[tuple[str, torch.dtype, torch.device], tuple[Any, ...]] = vars(self).setdefault("_kept", {})
        key = (use, like.dtype, like.device)
        if key not in kept:
            with torch.inference_mode(False), torch.no_grad():  # what is kept is used in every mode
                kept[key] = tuple(
                    unwrapped(part.to(dtype=like.dtype, device=like.device) if part.is_floating_point() else part)
                    if isinstance(part, Tensor)
                    else part
                    for part in make()
                )
        return kept[key]

    def _on_its_device(self, name: str) -> Tensor:
        """The parameter of that name in float64 where samples are drawn; kept, as copying it at every draw is slow."""
        like = torch.empty(0, dtype=torch.float64, device=self.device)
        parameter: Tensor = self._cast(like, lambda: (getattr(self, name),), name)[0]
        return parameter


def unwrapped(constant: Tensor) -> Tensor:
    """A constant that was made inside a transform of ``torch.func``, without its wrapper, which dies with it."""
    plain: Tensor = torch.func.debug_unwrap(constant)
    return plain


def _promote(dtypes: list[torch.dtype]) -> torch.dtype | None:
    return functools.reduce(torch.promote_types, dtypes) if dtypes else None


def to_float64(name: str, value: Matrices | Vector | float) -> Tensor:
    """``value`` as a tensor of float64 on the CPU, or an error unless it is finite numbers."""
    return validate.numbers(name, value)


def _leaves(value: Any) -> Iterator[Any]:  # noqa: ANN401  (whatever a class keeps)
    """The value, or what its tuples, lists and dicts hold."""
    if isinstance(value, tuple | list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    else:
        yield value


def _move(value: Any, like: Tensor) -> Any:  # noqa: ANN401
    if isinstance(value, Parameters):
        return value.to(like)
    if isinstance(value, nn.Module):
        tensors = [*value.parameters(), *value.buffers()]
        moved = any((t.dtype, t.device) != (like.dtype, like.device) for t in tensors if t.is_floating_point())
        return copy.deepcopy(value).to(like) if moved else value
    if isinstance(value, Tensor):
        return value.to(like) if value.is_floating_point() else value.to(like.device)
    if type(value) is dict:
        return {key: _move(part, like) for key, part in value.items()}
    return type(value)(_move(part, like) for part in value) if type(value) in (tuple, list) else value


def _same(a: Any, b: Any) -> bool:  # noqa: ANN401
    if a is b:
        return True
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return (a.dtype, a.device) == (b.dtype, b.device) and torch.equal(a, b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, tuple | list) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and type(a) is type(b):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    return bool(a == b)


def _text(value: object) -> str:
    if isinstance(value, Tensor):
        return repr(value.tolist()) if value.numel() <= _MOST_PRINTED else f"<tensor {list(value.shape)}>"
    return repr(value)
