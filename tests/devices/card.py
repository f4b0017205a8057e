"""A card that is not there: CPU tensors that pass for tensors of another device, with their values.

Inside ``with card("cuda"):`` each tensor belongs to a device, which is remembered beside it: ``x.device``, ``.to``,
``device=`` and ``torch.Generator("cuda")`` speak of that device, and an operation that mixes devices ends in a
``RuntimeError`` where it would on CUDA. So a tensor that was made on the wrong device is found on any machine.

How: a function mode sees every call from Python, where devices are named; a dispatch mode sees every kernel, also those
of derivatives and of the inside of a transform, where tensors meet. The device of a tensor is that of its storage, so
that views, parameters and duals have it too. What torch's C++ makes on the way, which would follow its operands if the
card were real, is of no device until it meets a tensor that has one.

A step that ``capture_step`` would record as a CUDA graph is "recorded" as well: from then on it runs under the rules of
a recording, in which no value may be read and nothing may be moved between devices.

The rules are those of torch 2.11 to 2.13 on CUDA; where torch is generous in a few kernels only, the card is strict.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from toylab._internal import cuda_graphs
from toylab._kernels import tangents
from toylab.densities import _gaussians
from toylab.samplers import fused

CPU, MPS = torch.device("cpu"), torch.device("mps:0")
APART = "Expected all tensors to be on the same device, but found at least two devices"
IN_A_RECORDING = "CUDA error: operation not permitted when stream is capturing"
NO_FLOAT64 = (
    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
    "Please use float32 instead."
)
_aten = torch.ops.aten
_Generator = torch.Generator

# The device of every tensor, by the address of its storage; the weak reference keeps the address from being used again.
# It outlives a card, as what the library keeps of its constants does.
_homes: dict[int, tuple[StorageWeakRef, torch.device | None]] = {}
_most_homes = [4096]  # before those of tensors that are gone are forgotten


class Card:
    """One device, the tensors on it, and whether it is recording.

    Attributes:
        device: such as ``cuda:0``.
        recording: whether what runs now is being recorded as a CUDA graph.
        recorded: how many recordings were made.
        generator: ``torch.Generator``, which can live there.
        stream: the global one of the card.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.recording, self.recorded = device, False, 0
        self.generator = _generator_of(self)
        self.stream = self.generator(device)

    def find(self, device: object) -> torch.device:
        """The device of that name, if there is one; else torch's error."""
        found = torch.device(self.device.type, device) if isinstance(device, int) else torch.device(device)  # type: ignore[arg-type,call-overload]
        if found.type == self.device.type:
            if found.index not in (None, self.device.index):
                raise RuntimeError(f"CUDA error: invalid device ordinal {found.index}")
            return self.device
        if found.type != "cpu":
            torch.empty(0, device=found)  # torch's own words
        return found

    def home(self, x: Tensor) -> torch.device | None:
        """The device of a tensor, None if it is of none; what was made outside is on the CPU."""
        if x.is_meta:
            return None
        found = _homes.get(_address(x))
        return CPU if found is None or found[0].expired() else found[1]

    def is_new(self, x: Tensor) -> bool:
        """Whether nothing is known of a tensor yet."""
        found = _homes.get(_address(x))
        return not x.is_meta and (found is None or found[0].expired())

    def settle(self, x: Tensor, device: torch.device | None) -> None:
        """Let a tensor belong to a device, or to none; shapes without values, which torch plans by, are left alone."""
        if x.is_meta:
            return
        if self.device.type == "mps" and device == self.device and x.dtype == torch.float64:
            raise TypeError(NO_FLOAT64)
        _homes[_address(x)] = StorageWeakRef(_storage(x)), device
        if len(_homes) > _most_homes[0]:
            for key in [key for key, kept in _homes.items() if kept[0].expired()]:
                del _homes[key]
            _most_homes[0] = 2 * len(_homes) + 4096

    def common(self, tensors: list[Tensor]) -> torch.device | None:
        """The device of what is made of these: the card if one is there, None if none has a device."""
        homes = {home for x in tensors if (home := self.home(x)) is not None}
        return self.device if self.device in homes else CPU if homes else None

    @contextmanager
    def in_a_recording(self) -> Iterator[None]:
        """What runs inside is recorded: no value is read, and nothing moved."""
        self.recording = True
        try:
            yield
        finally:
            self.recording = False

    def moved(self, x: Tensor, device: torch.device) -> Tensor:
        """The tensor on that device: itself, or a copy, through which derivatives flow back to where x is."""
        here = self.home(x) or CPU
        if here == device:
            return x
        if self.recording:
            raise RuntimeError(f"{IN_A_RECORDING} (a copy from {here} to {device})")
        if x.requires_grad and not torch._C._functorch.is_functorch_wrapped_tensor(x):
            return _Move.apply(x, self, device)
        with torch.inference_mode(x.is_inference()):
            copied = x.clone()
        self.settle(copied, device)
        if forward_ad._current_level >= 0 and (tangent := forward_ad.unpack_dual(copied).tangent) is not None:
            self.settle(tangent, device)
        return copied


class _Move(torch.autograd.Function):
    """A copy to another device, and of the derivative back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, card: Card, device: torch.device) -> Tensor:
        ctx.card, ctx.here = card, card.home(x) or CPU
        copied = x.clone()
        card.settle(copied, device)
        return copied

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        return ctx.card.moved(slopes[0], ctx.here), None, None


def _plain(x: Tensor) -> Tensor:
    """The tensor inside the wrappers of torch.func."""
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return x


def _storage(x: Tensor) -> Any:
    x = _plain(x)
    return (x._values() if x.layout is not torch.strided else x).untyped_storage()


def _address(x: Tensor) -> int:
    x = _plain(x)
    return torch._C._storage_address(x if x.layout is torch.strided else x._values())


def _tensors(tree: object) -> list[Tensor]:
    """All tensors in nested sequences and dictionaries."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    return [x for part in tree for x in _tensors(part)] if isinstance(tree, (tuple, list)) else []


# ---------------------------------------------------------------------------------------------- calls from Python


class _Calls(TorchFunctionMode):
    """Where devices are named: what is asked for on the card is made on the CPU and belongs to the card."""

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.card = card

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.OpOverload):  # called by another dispatch mode, not from Python
            return func(*args, **kwargs)
        special = _SPECIAL.get(func)
        if special is not None:
            return special(self.card, *args, **kwargs)
        given = _tensors((args, kwargs))
        named = kwargs.get("device")
        target = None if named is None else self.card.find(named)
        if target is not None:
            kwargs = kwargs | {"device": CPU}
        home = target or (self.card.common(given) if given else CPU)
        generator = kwargs.get("generator")
        if isinstance(generator, _Generator) and home is not None and generator.device.type != home.type:
            raise RuntimeError(
                f"Expected a '{home.type}' device type for generator but found '{generator.device.type}'"
            )
        if generator is None and home == self.card.device and func in _DRAWS:
            kwargs = kwargs | {"generator": self.card.stream}
        if self.card.recording and home == self.card.device and func in _FROM_VALUES:
            raise RuntimeError(f"{IN_A_RECORDING} ({func.__name__} copies from the CPU)")
        if self.card.device.type == "mps" and target == self.card.device and kwargs.get("dtype") == torch.float64:
            raise TypeError(NO_FLOAT64)
        result = func(*args, **kwargs)
        made = _tensors(result)
        if target is not None and made and func in _MAY_SHARE:
            return self.card.moved(made[0], target)
        for x in made:
            if target is not None and _address(x) not in {_address(one) for one in given}:
                self.card.settle(x, target)
            elif home is not None and self.card.home(x) is None:
                self.card.settle(x, home)
        return result


def _to(card: Card, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x.to(device, dtype), x.to(dtype), x.to(other), in any of its forms."""
    copy, memory_format = kwargs.pop("copy", False), kwargs.pop("memory_format", torch.preserve_format)
    kwargs.pop("non_blocking", None)
    device, dtype, other = kwargs.pop("device", None), kwargs.pop("dtype", None), kwargs.pop("other", None)
    for given in args:
        if isinstance(given, Tensor):
            other = given
        elif isinstance(given, torch.dtype):
            dtype = given
        elif isinstance(given, bool):
            copy = given if len(args) > 3 else copy
        elif given is not None:
            device = given
    if kwargs:
        raise TypeError(f"to() received an invalid combination of arguments - got {kwargs}")
    if other is not None:
        device, dtype = card.home(other) or CPU, other.dtype
    target = card.home(x) or CPU if device is None else card.find(device)
    if card.device.type == "mps" and target == card.device and (dtype or x.dtype) == torch.float64:
        raise TypeError(NO_FLOAT64)
    leaves = card.home(x) == card.device != target  # converted there first: MPS has no float64
    y = card.moved(x, target) if leaves else x
    if dtype is not None or copy:
        y = y.to(dtype=dtype or y.dtype, copy=copy and y is x, memory_format=memory_format)
    return y if leaves else card.moved(y, target)


def _numpy(card: Card, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    if card.home(x) == card.device:
        raise TypeError(
            f"can't convert {card.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )
    return x.numpy(*args, **kwargs)


def _array(card: Card, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    _numpy(card, x.detach())
    return x.__array__(*args, **kwargs)


def _tolist(card: Card, x: Tensor) -> Any:
    if card.recording and card.home(x) == card.device:
        raise RuntimeError(f"{IN_A_RECORDING} (tolist)")
    return x.tolist()


def _tensor(card: Card, data: Any, *, device: Any = None, **kwargs: Any) -> Tensor:
    home = (card.home(data) or CPU) if isinstance(data, Tensor) else CPU
    made = torch.tensor(data, **kwargs)
    card.settle(made, home)
    return made if device is None else card.moved(made, card.find(device))


def _as_tensor(card: Card, data: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    made = torch.as_tensor(data, dtype=dtype)
    if card.home(made) is None:
        card.settle(made, (card.home(data) or CPU) if isinstance(data, Tensor) else CPU)
    return made if device is None else card.moved(made, card.find(device))


def _new_tensor(card: Card, x: Tensor, data: Any, *, device: Any = None, **kwargs: Any) -> Tensor:
    made = x.new_tensor(data, **kwargs)
    card.settle(made, CPU)
    return card.moved(made, card.find(device) if device is not None else card.home(x) or CPU)


def _backward(card: Card, x: Tensor, gradient: Any = None, *args: Any, **kwargs: Any) -> None:
    keep, create, inputs = (*args, *(None,) * (3 - len(args)))[:3]
    with _Calls(card):  # what the user's own derivatives do in Python is seen, too
        torch.autograd.backward(
            x, gradient, kwargs.get("retain_graph", keep), kwargs.get("create_graph", create or False),
            inputs=kwargs.get("inputs", inputs),
        )  # fmt: skip


_SPECIAL: dict[Any, Callable[..., Any]] = {
    Tensor.device.__get__: lambda card, x, *_: card.home(x) or x.device,  # type: ignore[attr-defined]
    Tensor.is_cuda.__get__: lambda card, x, *_: (card.home(x) or x.device).type == "cuda",  # type: ignore[attr-defined]
    Tensor.is_mps.__get__: lambda card, x, *_: (card.home(x) or x.device).type == "mps",  # type: ignore[attr-defined]
    Tensor.is_cpu.__get__: lambda card, x, *_: (card.home(x) or x.device) == CPU,  # type: ignore[attr-defined]
    Tensor.get_device: lambda card, x: -1 if (card.home(x) or x.device) == CPU else 0,
    Tensor.to: _to,
    Tensor.cpu: lambda card, x, *_, **__: card.moved(x, CPU),
    Tensor.cuda: lambda card, x, device="cuda", *_, **__: card.moved(x, card.find(device)),
    Tensor.numpy: _numpy,
    Tensor.__array__: _array,
    Tensor.tolist: _tolist,
    Tensor.backward: _backward,
    Tensor.new_tensor: _new_tensor,
    torch.tensor: _tensor,
    torch.as_tensor: _as_tensor,
}
_DRAWS = {
    torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial,
    torch._standard_gamma, Tensor.normal_, Tensor.uniform_, Tensor.exponential_, Tensor.bernoulli_, Tensor.random_,
}  # fmt: skip
_MAY_SHARE = {torch.asarray}
_FROM_VALUES = {torch.asarray}


# ----------------------------------------------------------------------------------------------------- kernels

_CROSSES = {_aten.copy_, _aten._to_copy}  # between devices
_INDEXES = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_, _aten._unsafe_index}
_READS = {  # the host waits for a value, or for the size of the result
    _aten._local_scalar_dense, _aten.nonzero, _aten.masked_select, _aten.bincount, _aten.equal, _aten.is_nonzero,
    _aten._unique, _aten._unique2, _aten.unique_dim, _aten.unique_consecutive, _aten.repeat_interleave,
}  # fmt: skip
_ONE_SCALAR = {  # of their operands only the last may be a number of the CPU
    _aten.addcmul, _aten.addcmul_, _aten.addcdiv, _aten.addcdiv_, _aten.lerp, _aten.lerp_,
}  # fmt: skip
_NO_SCALAR = {_aten.clamp, _aten.clamp_}


class _Kernels(TorchDispatchMode):
    """Where tensors meet: those of two devices are refused as CUDA does; a result is where its operands are."""

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.card = card

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # it would load the compiler, which takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        card, given = self.card, _tensors((args, kwargs))
        homes = [card.home(x) for x in given]
        mixed = card.device in homes and CPU in homes
        packet = func._overloadpacket
        if mixed:
            _refuse(card, func, args, given, homes)
        if card.recording and card.device in homes and (packet in _READS or _picks_by_value(packet, args)):
            raise RuntimeError(f"{IN_A_RECORDING} ({func} reads values)")
        if card.recording and mixed and packet in _CROSSES | _INDEXES:
            raise RuntimeError(f"{IN_A_RECORDING} ({func} copies between devices)")
        result = func(*args, **kwargs)
        if packet in _CROSSES and len(given) > 1:
            home = homes[0] or homes[1]
        elif packet in _INDEXES:
            home = homes[0]
        else:
            home = card.device if card.device in homes else CPU if CPU in homes else None
        for x in _tensors(result):
            if card.is_new(x) or (home is not None and card.home(x) is None):
                card.settle(x, home)
            elif card.home(x) == MPS and x.dtype == torch.float64:
                raise TypeError(NO_FLOAT64)
        return result


def _picks_by_value(packet: Any, args: tuple[Any, ...]) -> bool:
    """Whether points are picked by a mask, so that the size of the result is a value."""
    return packet in _INDEXES and any(x.dtype in (torch.bool, torch.uint8) for x in _tensors(args[1]))


def _refuse(card: Card, func: Any, args: Any, given: list[Tensor], homes: list[torch.device | None]) -> None:
    """Raise unless CUDA lets these meet: tensors of the card and of the CPU."""
    packet = func._overloadpacket
    if packet in _CROSSES:
        return
    if packet in _INDEXES:
        indices = _tensors(args[1])
        values = _tensors(args[2:3])
        if card.home(args[0]) == CPU and any(card.home(x) == card.device for x in indices):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        if all(card.home(x) in (card.home(args[0]), None) or (x.ndim == 0 and card.home(x) == CPU) for x in values):
            return
    elif torch.Tag.pointwise in func.tags and packet not in _NO_SCALAR and _written(func, args, homes, card):
        least = len(given) - 1 if packet in _ONE_SCALAR else 0
        on_cpu = [i for i, home in enumerate(homes) if home == CPU]
        if all(given[i].ndim == 0 and i >= least for i in on_cpu):
            return
    elif packet in (_aten.masked_fill, _aten.masked_fill_) and card.home(args[0]) == card.home(args[1]) == card.device:
        return
    shapes = ", ".join(f"{list(x.shape)} on {home}" for x, home in zip(given, homes, strict=True))
    raise RuntimeError(f"{APART}, {card.device} and cpu! ({func} of {shapes})")


def _written(func: Any, args: Any, homes: list[torch.device | None], card: Card) -> bool:
    """Whether what the kernel writes into, if anything, is on the card."""
    return not func._schema.is_mutable or homes[0] == card.device


# -------------------------------------------------------------------------------------------------- the machine


def _generator_of(card: Card) -> type:
    """``torch.Generator``, which can live on the card."""

    class Anywhere(type(_Generator)):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, _Generator)

    class Generator(_Generator, metaclass=Anywhere):
        _home: torch.device

        def __new__(cls, device: Any = "cpu") -> "Generator":
            made = super().__new__(cls, "cpu")
            made._home = card.find(device)
            return made

        @property
        def device(self) -> torch.device:
            return self._home

        def get_state(self) -> Tensor:  # of another size than the CPU's, as CUDA's is
            return torch.cat([super().get_state(), torch.zeros(int(self._home != CPU), dtype=torch.uint8)])

        def set_state(self, state: Tensor) -> "Generator":
            if len(state) != len(self.get_state()):
                raise RuntimeError("RNG state is wrong size")
            return super().set_state(state[: len(state) - (self._home != CPU)].clone())

        def clone_state(self) -> "Generator":
            other = Generator(self._home)
            other.set_state(self.get_state())
            return other

    return Generator


@contextmanager
def card(kind: str = "cuda") -> Iterator[Card]:
    """As if torch saw one card of this kind, "cuda" or "mps"."""
    here = Card(torch.device(kind, 0))
    load = torch.load

    def loaded(f: Any, map_location: Any = None, **settings: Any) -> Any:
        target = CPU if map_location is None else here.find(map_location)
        found = load(f, map_location="cpu", **settings)
        return _mapped(found, lambda x: here.moved(x, target))

    def record(run: Callable[[], None], device: torch.device, generator: Any = None) -> Callable[[], None]:
        here.recorded += 1

        def replay() -> None:
            with here.in_a_recording():
                run()

        return replay

    def grouped(tensors: Any, with_indices: bool = False) -> Any:  # by device and dtype; C++ sees the CPU alone
        groups = group(tensors, with_indices)
        return {(here.home(part[0][0][0]) or CPU, dtype): part for (_, dtype), part in groups.items()}

    optimizer = import_module("torch.optim.optimizer")
    group = optimizer._group_tensors_by_device_and_dtype
    with ExitStack() as stack:
        replace = lambda owner, name, new: stack.enter_context(mock.patch.object(owner, name, new))  # noqa: E731
        replace(torch, "Generator", here.generator)
        replace(torch, "load", loaded)
        replace(torch.autograd, "has_torch_function", lambda arguments: False)  # its inside is seen instead
        replace(optimizer, "_group_tensors_by_device_and_dtype", grouped)
        if kind == "cuda":
            replace(cuda_graphs, "cuda_graph", record)
            for module in (_gaussians, tangents, fused):  # the plain path is what is tested here
                replace(module, "fused", lambda device: False)
            replace(Tensor, "record_stream", lambda x, stream: None)
            for name, value in _CUDA.items():
                replace(torch.cuda, name, value)
            replace(torch.cuda, "get_rng_state", lambda device="cuda": here.stream.get_state())
            replace(torch.cuda, "set_rng_state", lambda state, device="cuda": here.stream.set_state(state))
        stack.enter_context(_Kernels(here))
        stack.enter_context(_Calls(here))
        yield here


def _mapped(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return type(tree)((key, _mapped(part, change)) for key, part in tree.items())
    return type(tree)(_mapped(part, change) for part in tree) if isinstance(tree, (tuple, list)) else tree


class _Stream:
    """A stream of launches; here they are done when they are asked for."""

    def wait_stream(self, other: object) -> None: ...


_CUDA: dict[str, Any] = {
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "get_device_name": lambda device=None: "a card that is not there",
    "get_device_capability": lambda device=None: (9, 0),
    "mem_get_info": lambda device=None: (8 << 30, 8 << 30),
    "device": lambda device: nullcontext(),
    "Stream": _Stream,
    "current_stream": lambda device=None: _Stream(),
    "stream": lambda stream: nullcontext(),
    "synchronize": lambda device=None: None,
    "empty_cache": lambda: None,
}
