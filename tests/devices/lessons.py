"""The code of a lesson with every call of the library on a card.

The lessons name no device. So what a cell gives to the library is moved to the card on the way in, laws, networks,
points and generators, and what it gets back is moved to the CPU, where the cell's own arithmetic and its pictures are,
as a reader with a card would write it by ``.to("cuda")`` and ``.cpu()``. Long runs are made short: it is not what comes
out that is looked at.

    python -m tests.devices.lessons

runs all lessons, in some five minutes, every warning an error; the suite runs those that are quick.
"""

import ast
import builtins
import contextlib
import inspect
import io
import json
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.utils._device import _device_constructors

from tests.devices.card import card
from tests.devices.on_card import on_card
from toylab.densities import Density

LESSONS = Path(__file__).parents[2] / "notebooks"
IGNORED = (
    "ignore:running kernel by kernel.*_OfTheCell:RuntimeWarning",  # a function of the cell's, which is so
    "ignore:__array__ implementation:DeprecationWarning",  # of matplotlib and torch
)
STEPS, FRAMES, LEVELS = 10, 120, 16  # the most of a run or a training, of one that keeps its path, of a sampler's times
_FACTORIES = _device_constructors()


def run(path: Path) -> None:
    """Every cell, one after the other."""
    names: dict[str, Any] = {"__name__": "__main__", "_call": call}
    for program in programs(path):
        exec(program, names)


def programs(path: Path) -> Iterator[CodeType]:
    """The code of each cell, in which every call goes through ``call``."""
    for k, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] == "code":
            tree = _ThroughCall().visit(ast.parse("".join(cell["source"])))
            yield compile(ast.fix_missing_locations(tree), f"{path.stem}, cell {k}", "exec")


class _ThroughCall(ast.NodeTransformer):
    """f(x) becomes _call(f, x)."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return node
        return ast.Call(ast.Name("_call", ast.Load()), [node.func, *node.args], node.keywords)


def call(f: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """f(*args, **settings); on the card, if f is of the library."""
    if f in _FACTORIES and "device" not in settings:
        settings["device"] = _where(settings.get("generator"), sys._getframe(1).f_locals)
    already_there = any(isinstance(x, Tensor) and x.is_cuda for x in args)
    if already_there or not _of_the_library(f) or any(map(_handed_out, (f, *args))):
        return f(*args, **settings)
    args, settings = _shortened(f, args, settings)
    if "device" in _parameters(f):
        settings.setdefault("device", "cuda")
    return on_card(on_card(f)(*map(_there, args), **{name: _there(value) for name, value in settings.items()}), "cpu")


def _of_the_library(f: object) -> bool:
    owner = getattr(f, "__self__", f)
    if _module(type(owner)) == "__main__":  # a law of the cell's
        return False
    return _module(f).startswith("toylab") or isinstance(owner, nn.Module | Density)


def _handed_out(f: object) -> bool:
    """Whether the library made this function while it ran: its constants are where it was made."""
    return isinstance(f, FunctionType) and _module(f).startswith("toylab") and "<locals>" in f.__qualname__


def _module(f: object) -> str:
    return getattr(f, "__module__", None) or ""


def _there(value: Any) -> Any:
    """On the card; a function of the cell's stays where its constants are."""
    if isinstance(value, FunctionType) and _module(value) == "__main__":
        return _OfTheCell(value)
    return on_card(value)


class _OfTheCell:
    """A function of a cell's, called with tensors of the card: it computes on the CPU, and its result is moved back.

    A loss, which is given a score, computes where that is.
    """

    def __init__(self, f: FunctionType) -> None:
        self.f, self.__signature__ = f, inspect.signature(f)

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if any(map(callable, args)):
            return self.f(*args, **settings)
        there = any(isinstance(x, Tensor) and x.is_cuda for x in args)
        found = self.f(*(on_card(x, "cpu") for x in args), **{k: on_card(x, "cpu") for k, x in settings.items()})
        return on_card(found) if there else found


def _where(generator: torch.Generator | None, names: dict[str, Any]) -> torch.device:
    """Where a function of the cell's makes its tensors: as the numbers are drawn, or as what it was given is."""
    if generator is not None:
        return generator.device
    given = (value.device for value in names.values() if isinstance(value, Tensor))
    return next(given, torch.device("cpu"))


def _shortened(
    f: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    steps, every = settings.get("n_steps"), settings.get("keep_every")
    if _module(f).startswith("toylab.samplers") and every is None:
        args = tuple(x[:: -(-len(x) // LEVELS)] if isinstance(x, Tensor) and x.ndim == 1 else x for x in args)
        if "rtol" in _parameters(f):
            settings = settings | {"rtol": 0.01, "atol": 0.01}
    if isinstance(steps, int) and isinstance(every, int):
        settings = settings | {"n_steps": min(steps // every, FRAMES), "keep_every": 1}
    elif isinstance(steps, int):
        settings = settings | {"n_steps": min(steps, STEPS)}
    return args, settings


def _parameters(f: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        return set()


def main() -> int:
    """Run every lesson; how many failed."""
    matplotlib.use("Agg")
    torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.zeros(1),))  # loads parts of torch, which warn
    warnings.simplefilter("error")
    for kind in IGNORED:
        _, message, category = kind.split(":")
        warnings.filterwarnings("ignore", message, getattr(builtins, category))
    failed = 0
    for path in sorted(LESSONS.glob("*.ipynb")):
        start = time.perf_counter()
        try:
            with card(), contextlib.redirect_stdout(io.StringIO()):
                run(path)
        except Exception:  # the other lessons go on
            failed += 1
            traceback.print_exc()
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
        plt.close("all")
    print(f"{failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
