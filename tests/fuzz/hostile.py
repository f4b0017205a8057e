"""Values that do not belong: of the wrong type, shape, dtype, device or size, empty, nan, infinite, huge.

Which are tried for an argument follows from its valid value: a tensor of points, a number, a count, a function, ...
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from matplotlib.colors import Colormap

from toylab import densities, networks
from toylab.samplers import Chains, State

NAN, INF = float("nan"), float("inf")


class Named:
    """A value made anew each time, with a name to show."""

    def __init__(self, name: str, make: Callable[[Any], Any], *, finite: bool = True) -> None:
        self.name, self.make, self.finite = name, make, finite

    def __repr__(self) -> str:
        return self.name


def _constant(*values: Any) -> list[Named]:
    return [Named(repr(value), lambda _, value=value: value) for value in values]


WRONG_TYPES = [
    *_constant(None, "1", b"1", True, [], {}, (), 1 + 1j, object),
    Named("object()", lambda _: object()),
    Named("a dict of numbers", lambda _: {"a": 1.0}),
    Named("a set", lambda _: {1.0, 2.0}),
]

NUMBERS = [
    *_constant(0, -1, 2, 0.0, -0.5, 1e-300, 1e-12, 1e12, 1e300),
    Named("nan", lambda _: NAN, finite=False),
    Named("inf", lambda _: INF, finite=False),
    Named("-inf", lambda _: -INF, finite=False),
    Named("numpy.float64(0.5)", lambda _: np.float64(0.5)),
    Named("numpy.float32(0.5)", lambda _: np.float32(0.5)),
    Named("numpy.array(0.5)", lambda _: np.array(0.5)),
    Named("numpy.array([0.5, 0.6])", lambda _: np.array([0.5, 0.6])),
    Named("torch.tensor(0.5)", lambda _: torch.tensor(0.5)),
    Named("torch.tensor([0.5, 0.6])", lambda _: torch.tensor([0.5, 0.6])),
    Named("torch.tensor(1 + 1j)", lambda _: torch.tensor(1 + 1j)),
    Named("torch.tensor(nan)", lambda _: torch.tensor(NAN), finite=False),
    Named("10**400", lambda _: 10**400),
]

COUNTS = [
    *_constant(0, -1, 1, 2.0, 2.5, -(10**30)),
    Named("nan", lambda _: NAN),
    Named("inf", lambda _: INF),
    Named("numpy.int64(3)", lambda _: np.int64(3)),
    Named("torch.tensor(3)", lambda _: torch.tensor(3)),
    Named("torch.tensor([3, 4])", lambda _: torch.tensor([3, 4])),
]


def _with_row(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def make(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x.view(-1)[0] = value
        return x

    return make


TENSORS = [
    Named("empty", lambda x: x[:0]),
    Named("without its first dimension", lambda x: x[0] if x.ndim else x),
    Named("with one more dimension", lambda x: x[None]),
    Named("with a last dimension of 1", lambda x: x[..., :1] if x.ndim else x),
    Named("with a last dimension of 3", lambda x: torch.cat([x, x[..., :1]], -1) if x.ndim else x),
    Named("transposed", lambda x: x.T if x.ndim == 2 else x),
    Named("of one row", lambda x: x[:1]),
    Named("a scalar", lambda _: torch.tensor(1.0)),
    Named("of no elements", lambda _: torch.empty(0)),
    Named("of integers", lambda x: x.long()),
    Named("of bools", lambda x: x > 0),
    Named("complex", lambda x: x.to(torch.complex64)),
    Named("float16", lambda x: x.half()),
    Named("bfloat16", lambda x: x.bfloat16()),
    Named("float64", lambda x: x.double()),
    Named("a numpy array", lambda x: x.numpy()),
    Named("a list", lambda x: x.tolist()),
    Named("with a nan", _with_row(NAN), finite=False),
    Named("with an inf", _with_row(INF), finite=False),
    Named("with 1e30", _with_row(1e30)),
    Named("x 1e4", lambda x: 1e4 * x),
    Named("x 1e-30", lambda x: 1e-30 * x),
    Named("all the same", lambda x: torch.ones_like(x)),
    Named("zero", lambda x: torch.zeros_like(x)),
    Named("negated", lambda x: -x),
    Named("flipped", lambda x: x.flip(0) if x.ndim else x),
    Named("with requires_grad", lambda x: x.clone().requires_grad_()),
    Named("not contiguous", lambda x: torch.stack([x, x])[:, ...].transpose(0, 1).contiguous().transpose(0, 1)[0]),
    Named("sparse", lambda x: x.to_sparse()),
]

FUNCTIONS = [
    *_constant(0),
    Named("a class", lambda _: networks.ScoreMLP),
    Named("a density", lambda _: densities.two_modes()),
    Named("a function of nothing", lambda _: lambda: 0.0),
    Named("a function of four", lambda _: lambda a, b, c, d: a),
    Named("gives None", lambda _: lambda *a, **k: None),
    Named("gives a number", lambda _: lambda *a, **k: 1.0),
    Named("gives a string", lambda _: lambda *a, **k: "1"),
    Named("gives a list", lambda f: lambda *a, **k: _listed(f(*a, **k))),
    Named("gives numpy", lambda f: lambda *a, **k: _as_numpy(f(*a, **k))),
    Named("gives integers", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), torch.Tensor.long)),
    Named("gives float64", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), torch.Tensor.double)),
    Named("gives float16", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), torch.Tensor.half)),
    Named("gives a sum", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), torch.sum)),
    Named("gives one dimension more", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), lambda r: r[..., None])),
    Named("gives the first column", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), lambda r: r[..., :1])),
    Named("gives one row", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), lambda r: r[:1])),
    Named("gives nan", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), lambda r: r * NAN), finite=False),
    Named("gives inf", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), lambda r: r + INF), finite=False),
    Named("gives 1e12 times", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), lambda r: r * 1e12)),
    Named("is negated", lambda f: lambda *a, **k: _on_tensors(f(*a, **k), torch.neg)),
]


def _on_tensors(result: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    return change(result) if isinstance(result, torch.Tensor) else result


def _listed(result: Any) -> Any:
    return result.tolist() if isinstance(result, torch.Tensor) else [result]


def _as_numpy(result: Any) -> Any:
    return result.detach().numpy() if isinstance(result, torch.Tensor) else result


DEVICES = [
    *_constant(0, "mps", "cuda:7", "tpu", "meta"),
    Named("torch.device('mps')", lambda _: torch.device("mps")),
]

GENERATORS = [
    *_constant(0, 1234, "cpu"),
    Named("numpy's", lambda _: np.random.default_rng(0)),
    Named("the class", lambda _: torch.Generator),
]

SEQUENCES = [
    Named("empty", lambda _: []),
    Named("without its last entry", lambda v: v[:-1]),
    Named("with its first entry twice", lambda v: [v[0], *v]),
    Named("with a nan", lambda v: _first(v, NAN)),
    Named("with an inf", lambda v: _first(v, INF)),
    Named("with a string", lambda v: _first(v, "1")),
    Named("with None", lambda v: _first(v, None)),
    Named("with 0", lambda v: _first(v, 0)),
    Named("with -1", lambda v: _first(v, -1)),
    Named("with 1e300", lambda v: _first(v, 1e300)),
    Named("nested once more", lambda v: [v]),
    Named("ragged", lambda v: [*v[:-1], [1.0, 2.0, 3.0]]),
    Named("reversed", lambda v: list(v)[::-1]),
    Named("a numpy array", lambda v: np.array(v)),
    Named("a tensor", lambda v: torch.tensor(v)),
    Named("a tensor of float16", lambda v: torch.tensor(v, dtype=torch.float16)),
    Named("a number", lambda _: 0.5),
    Named("a generator of numbers", lambda v: iter(v)),
]


def _first(values: Any, entry: Any) -> Any:
    """The same nested sequence with its very first number replaced."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [_first(values[0], entry), *values[1:]] if values else values
    return entry


def of(valid: Any) -> list[Named]:
    """The hostile values for an argument whose valid value is this one."""
    if isinstance(valid, bool):
        special: list[Named] = _constant(0, "no", 2.5)
    elif isinstance(valid, int):
        special = COUNTS
    elif isinstance(valid, float):
        special = NUMBERS
    elif isinstance(valid, torch.Tensor):
        special = TENSORS + NUMBERS[:4]
    elif isinstance(valid, str) and valid == "cpu":
        special = DEVICES
    elif isinstance(valid, torch.Generator):
        special = GENERATORS
    elif isinstance(valid, (tuple, list)) and valid and isinstance(valid[0], (int, float, tuple, list)):
        special = SEQUENCES
    elif isinstance(valid, (Chains, State, torch.nn.Module, torch.dtype, dict, Colormap)) or not callable(valid):
        special = _constant(0, 0.5) + TENSORS[7:8]
    else:
        special = FUNCTIONS
    return special + [value for value in WRONG_TYPES if value.name not in {named.name for named in special}]


def strategy(valid: Any) -> st.SearchStrategy[Named]:
    """One of them."""
    return st.sampled_from(of(valid))
