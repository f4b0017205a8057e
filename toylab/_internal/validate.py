"""Checks of arguments: each message states what was given, why it cannot be, and what to do.

All of them run once, at the public boundary, before any work is done. The file is long because there are many kinds of
argument; each function is one check.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor, nn

from toylab._internal import devices, fields
from toylab._internal.display import short, why_not_numbers
from toylab._internal.torch_private import is_batched
from toylab._internal.uncalled import refuse_class
from toylab._internal.warn import warn

NO_DENSITY = (
    "sigma is 0: a law on points or on a curve has no density of its own. Give a noise level sigma > 0, "
    "as in p.log_prob(x, 0.1) or p.noised(0.1)."
)

_LARGEST = 1e150  # the square of what is larger is infinite


class NoDensity(ValueError):
    """A law on points or on a curve was asked for its density, or its score, at sigma = 0."""

    def __init__(self) -> None:
        super().__init__(NO_DENSITY)


class OnlyClean(ValueError):
    """A law of which only the clean density is known was asked for another."""


def positive(name: str, value: float, remedy: str = "Give a number greater than 0") -> float:
    """Return ``value`` as a float, or raise ``ValueError`` unless it is finite and > 0, and its square is, too."""
    number = _number(name, value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} is {short(value)}: it must be finite and greater than 0. {remedy}.")
    if not 1 / _LARGEST <= number <= _LARGEST:
        raise ValueError(f"{name} is {short(value)}: its square is no number. Give one between 1e-150 and 1e150.")
    return number


def finite(name: str, value: float) -> float:
    """Return ``value`` as a float, or raise ``ValueError`` unless it is finite, and its square is, too."""
    number = _number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {short(value)}: it must be a finite number.")
    if abs(number) > _LARGEST:
        raise ValueError(f"{name} is {short(value)}: its square is no number. Give one of at most 1e150.")
    return number


def nonzero(name: str, value: float) -> float:
    """Return ``value`` as a float, or raise ``ValueError`` unless it is finite and not 0."""
    number = finite(name, value)
    if number == 0:
        raise ValueError(f"{name} is {short(value)}: it must not be 0. Give a positive or a negative number.")
    return number


def temperature(value: float) -> float:
    """Return ``value`` as a float, or raise unless it is finite and at least 0."""
    number = finite("temperature", value)
    if number < 0:
        raise ValueError(f"temperature is {short(value)}: it must be at least 0; 1 samples p itself.")
    return number


def shape(name: str, value: Sequence[int]) -> Sequence[int]:
    """Return ``value``, or raise unless it is a shape: a sequence of whole numbers, not a number."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        example = short(value) if isinstance(value, int | float) else "100"
        raise TypeError(f"{name} is {short(value)}: it must be a shape. For {example} points give ({example},).")
    if any(isinstance(size, bool) or not isinstance(size, SupportsIndex) or index(size) < 0 for size in value):
        raise ValueError(f"{name} is {short(value)}: a shape is made of whole numbers of at least 0, such as (100,).")
    return value


def count(name: str, value: int, least: int = 1) -> int:
    """Return ``value`` as an int, or raise unless it is a whole number of at least ``least``."""
    if (number := whole(value)) is None:
        raise TypeError(f"{name} is {short(value)}: it must be a whole number (int) of at least {least}.")
    if number < least:
        raise ValueError(f"{name} is {short(number)}: it must be at least {least}.")
    if number >= 2**63:
        raise ValueError(f"{name} is {short(number)}: give a whole number below 2^63.")
    return number


def whole(value: object) -> int | None:
    """A whole number of Python, of NumPy or in a tensor without dimensions as an int; None of anything else."""
    if type(value) is int:
        return value
    if getattr(value, "ndim", 0) > 0 or _kind(value) in _TRUTH_VALUES:
        return None
    try:
        return index(value)  # type: ignore[arg-type]
    except (TypeError, RuntimeError):  # the second of a tensor without values
        return None


def is_number(value: object) -> bool:
    """Whether it is one real number, of Python, of NumPy or in a tensor without dimensions; no truth value."""
    kinds = (int, float, np.integer, np.floating, Tensor, np.ndarray)
    return isinstance(value, kinds) and getattr(value, "ndim", 0) == 0 and _kind(value) not in _TRUTH_VALUES


def pair(name: str, value: Tensor | Sequence[float]) -> tuple[float, float]:
    """Return ``value`` as two floats, or raise unless it is two finite numbers: a place in the plane."""
    try:
        entries = tuple(value.tolist() if isinstance(value, Tensor) else value)
    except (TypeError, NotImplementedError):  # the latter of a meta tensor
        raise TypeError(f"{name} is {short(value)}: give two numbers, one per coordinate.") from None
    if len(entries) != 2:
        raise ValueError(f"{name} has {len(entries)} entries: give 2, one per coordinate.")
    first, second = (finite(name, entry) for entry in entries)
    return first, second


def points(name: str, x: Tensor) -> Tensor:
    """Return ``x``, or raise unless it is a floating-point tensor of shape [..., 2]."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} is a {type(x).__name__}: give a torch tensor of shape [..., 2]. Numbers become one by "
            f"torch.as_tensor({name}, dtype=torch.float32)."
        )
    if x.ndim == 0 or x.shape[-1] != 2:
        raise ValueError(
            f"{name} has shape {list(x.shape)}: the last dimension must be 2 (a point of the plane). "
            "Points along another dimension? Move it last, for example with x.T or x.movedim(i, -1)."
        )
    if not x.is_floating_point():
        raise TypeError(f"{name} has dtype {x.dtype}: scores need floating point. Give {name}.float().")
    devices.refuse_without_float64(name, x)
    return floating(name, x)


def vectors(name: str, v: Tensor, x: Tensor) -> Tensor:
    """Return ``v``, or raise unless it is one vector per point of ``x``, of its shape and dtype, where x is."""
    points(name, v)
    if v.shape != x.shape or v.dtype != x.dtype:
        raise ValueError(
            f"{name} has shape {list(v.shape)} and is {v.dtype} for x of shape {list(x.shape)} and {x.dtype}: give one "
            f"vector per point, as in {name}.expand_as(x).to(x)."
        )
    if v.device != x.device:
        raise ValueError(f"{name} is on {v.device} and x on {x.device}: give {name}.to(x).")
    return v


def cloud(name: str, x: Tensor) -> Tensor:
    """Return ``x``, or raise unless it is a non-empty floating-point tensor of shape [n, 2]."""
    points(name, x)
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"{name} has shape {list(x.shape)}: give a non-empty cloud of shape [n, 2].")
    return x


def noise_level(sigma: Tensor | float, x: Tensor) -> Tensor | float:
    """Return ``sigma`` ready to broadcast against ``x[..., 0]``: a number, or a tensor like ``x``.

    A number must be finite and >= 0. The values of a tensor are read where they are ``readable``.
    """
    if not isinstance(sigma, Tensor):
        number = _number("sigma", sigma)
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(
                f"sigma is {sigma}: a noise level is a standard deviation, finite and at least 0. "
                "From a variance v take v ** 0.5."
            )
        return positive("sigma", number) if number else number
    if sigma.is_complex() or sigma.layout is not torch.strided:
        floating("sigma", sigma)
    if not _broadcasts(sigma.shape, x.shape[:-1]):
        raise ValueError(
            f"sigma has shape {list(sigma.shape)} for x of shape {list(x.shape)}: give a number, or one level per "
            f"point, a tensor that broadcasts to {list(x.shape[:-1])}. From a column [n, 1] take sigma[:, 0]."
        )
    if readable(sigma) and not bool(((sigma >= 0) & sigma.isfinite()).all()):
        raise ValueError("sigma holds a negative or non-finite level: a standard deviation is finite and at least 0.")
    return sigma.to(x)


def positive_level(sigma: Tensor | float, x: Tensor) -> Tensor | float:
    """``noise_level``, for networks and others that divide by sigma: 0 is refused, and what is 0 or inf in x's dtype.

    Inside ``torch.func.vmap`` the values of a tensor cannot be read, and are not.
    """
    if not isinstance(sigma, Tensor):
        held = torch.finfo(x.dtype)
        if held.tiny <= (number := _number("sigma", sigma)) <= held.max:
            return number
    elif _broadcasts(sigma.shape, x.shape[:-1]) and not sigma.is_complex() and _all_positive(levels := sigma.to(x)):
        return levels
    noise_level(sigma, x)  # says what else is wrong
    least, most = (f"{end:.2g}" for end in (torch.finfo(x.dtype).tiny, torch.finfo(x.dtype).max))
    raise ValueError(
        f"sigma is {'0 for some point' if isinstance(sigma, Tensor) or sigma == 0 else sigma}: a noise-conditional "
        f"network divides by it, in {x.dtype}, which holds {least} to {most}. Give the least level that it was trained "
        "at, for example sigmas[-1]."
    )


def _all_positive(sigma: Tensor) -> bool:
    """Whether all levels are positive and finite; True where they cannot be read."""
    if sigma.numel() == 0 or not readable(sigma):
        return True
    least, most = sigma.detach().aminmax()
    return float(least) > 0 and float(most) < math.inf  # nan compares false


def label(value: Tensor | int, n_classes: int, x: Tensor | None = None) -> None:
    """Raise unless ``value`` is one of the classes, or one or none (-1) for each of the points x [..., 2]."""
    if not isinstance(value, Tensor):
        least = most = count("label", value, 0)
    elif value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"label is a tensor of {value.dtype}: give whole numbers, as label.long() has.")
    else:
        if x is not None and not _broadcasts(value.shape, x.shape[:-1]):
            raise ValueError(
                f"label has shape {list(value.shape)} for x of shape {list(x.shape)}: give one class, or one per "
                f"point, a tensor that broadcasts to {list(x.shape[:-1])}."
            )
        if value.numel() == 0 or not readable(value):
            return
        least, most = (int(end) for end in value.aminmax())
    if least < -1 or most >= n_classes:
        known = f"the classes 0 to {n_classes - 1}" if n_classes else "no classes: make it with n_classes=2 or more"
        raise ValueError(f"label is {least if least < -1 else most}: this network knows {known}.")


def directions(name: str, v: Tensor, x: Tensor) -> Tensor:
    """Return ``v``, or raise unless it is directions [k, ..., 2] at the points x [..., 2], in their dtype."""
    if not isinstance(v, Tensor):
        raise TypeError(f"{name} is a {type(v).__name__}: give a tensor of directions, [k, {list(x.shape)[:-1]}, 2].")
    shared = (1,) * (x.ndim - 1) + (2,)
    if v.ndim != x.ndim + 1 or tuple(v.shape[1:]) not in (tuple(x.shape), shared) or len(v) == 0:
        raise ValueError(
            f"{name} has shape {list(v.shape)} for points {list(x.shape)}: give k directions per point, "
            f"{['k', *x.shape]}, or the same for all, {['k', *shared]}."
        )
    if v.dtype != x.dtype or v.device != x.device or v.layout != x.layout:
        raise TypeError(f"{name} is {v.dtype} on {v.device} and x {x.dtype} on {x.device}: give {name}.to(x).")
    return v


def noisy(sigma: Tensor | float, x: Tensor) -> Tensor | float:
    """``noise_level``, for laws without a density of their own: sigma = 0 is refused."""
    sigma = noise_level(sigma, points("x", x))
    if (readable(sigma) and bool((sigma == 0).any())) if isinstance(sigma, Tensor) else sigma == 0:
        raise NoDensity
    return sigma


def only_clean(sigma: Tensor | float, x: Tensor, name: str) -> None:
    """Raise ``ValueError`` unless sigma is 0: for a law whose clean density alone is known."""
    sigma = noise_level(sigma, points("x", x))
    if bool((sigma != 0).any()) if isinstance(sigma, Tensor) else sigma != 0:
        given = sigma if not isinstance(sigma, Tensor) else "a tensor with levels above 0"
        raise OnlyClean(
            f"sigma is {given}: only the clean law of {name} is known, so sigma must be 0. "
            "For noised laws take a density of toylab.densities, or define a log_prob that uses sigma in the subclass."
        )


def device(value: torch.device | str) -> torch.device:
    """The device of that name, or an error unless tensors can live there."""
    return devices.find(value)


def levels(name: str, sigmas: Tensor) -> Tensor:
    """Return ``sigmas``, or raise unless it is a 1-D tensor of positive, strictly decreasing levels."""
    if not isinstance(sigmas, Tensor) or sigmas.ndim != 1 or len(sigmas) == 0:
        given = list(sigmas.shape) if isinstance(sigmas, Tensor) else type(sigmas).__name__
        raise ValueError(f"{name} is {given}: give a 1-D tensor of levels, as schedules.geometric(20, 0.1, 20) makes.")
    values = floating(name, sigmas).tolist()
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError(f"{name} is {short(values)}: every noise level must be finite and greater than 0.")
    if any(later >= earlier for earlier, later in zip(values, values[1:], strict=False)):
        raise ValueError(
            f"{name} is {short(values)}: levels must strictly decrease. Turn an ascending list with .flip(0)."
        )
    return sigmas


def floating(name: str, value: Tensor) -> Tensor:
    """Return ``value``, or raise ``TypeError`` unless it is a dense tensor of real floating-point numbers."""
    if not value.is_floating_point() or value.layout is not torch.strided:
        kind = value.dtype if value.layout is torch.strided else value.layout
        raise TypeError(f"{name} is a tensor of {kind}: give dense floating-point numbers, as {name}.float() has.")
    return value


def time(t: Tensor | float) -> Tensor | float:
    """Return ``t``, a time in [0, 1] or a tensor of them, or raise. The values of a CUDA tensor are not read."""
    if not isinstance(t, Tensor):
        t = _number("t", t)
        inside = -1e-6 <= t <= 1 + 1e-6  # nan compares false
    else:
        floating("t", t)
        inside = not readable(t) or bool(((t >= -1e-6) & (t <= 1 + 1e-6)).all())
    if not inside:
        raise ValueError(
            f"t is {short(t.tolist() if isinstance(t, Tensor) else t)}: times run from 0, the data, to 1, the noise. "
            "A noise level? Turn it into a time with sde.time_of(sigma)."
        )
    return t


def noisy_time(t: Tensor | float, sigma: Tensor) -> None:
    """Raise ``ValueError`` if t is a number at which sigma, the noise of an SDE, is 0: steps divide by it."""
    if not isinstance(t, Tensor) and float(sigma) ** 2 == 0:
        raise ValueError(f"t is {t}, where there is no noise to be taken away. Start from a later time.")


def earlier(name: str, u: Tensor | float, t: Tensor | float) -> None:
    """Raise unless the time u is at most t; those in tensors are read where they are ``readable``."""
    if all(not isinstance(time, Tensor) or readable(time) for time in (u, t)) and not bool(
        torch.as_tensor(u <= t, device="cpu").all()
    ):
        raise ValueError(
            f"{name} is {short(u)} and t is {short(t)}: a step goes back to an earlier time, from t to {name}. "
            "Swap them?"
        )


def times_of(t: Tensor | float, x: Tensor) -> Tensor | float:
    """Return ``time(t)``, or raise ``ValueError`` unless a tensor of times broadcasts to one per point of ``x``."""
    t = time(t)
    if isinstance(t, Tensor) and not _broadcasts(t.shape, x.shape[:-1]):
        raise ValueError(
            f"t has shape {list(t.shape)} for x of shape {list(x.shape)}: give a number, or one time per point, a "
            f"tensor that broadcasts to {list(x.shape[:-1])}. From a column [n, 1] take t[:, 0]."
        )
    return t


def path_time(t: Tensor | float, x: Tensor) -> Tensor:
    """``t``, a time of a path in [0, 1] or one per point of ``x``, as a tensor in the dtype of x, or raise.

    What rounding puts just outside of the interval is moved to its end. The values of a CUDA tensor are not read.
    """
    if not isinstance(t, Tensor):
        number = finite("t", t)
        return x.new_full((), _in_unit_interval(number, number, number))
    time = floating("t", t).to(x)
    if not _broadcasts(t.shape, x.shape[:-1]):
        raise ValueError(
            f"t has shape {list(t.shape)} for x of shape {list(x.shape)}: give a number, or one time per point, a "
            f"tensor that broadcasts to {list(x.shape[:-1])}. From a column [n, 1] take t[:, 0]."
        )
    return path_times(time)


def path_times(t: Tensor) -> Tensor:
    """``t``, times of a path in [0, 1], as ``path_time`` has them."""
    if t.numel() == 0 or not readable(t):
        return t
    least, most = (float(end) for end in t.detach().aminmax())
    return t if least >= 0 and most <= 1 else t.clamp(0, _in_unit_interval(t.tolist(), least, most))


def _in_unit_interval(given: object, least: float, most: float) -> float:
    """``most`` moved into [0, 1], or raise unless least and most are in it, up to rounding."""
    if not (least >= -1e-6 and most <= 1 + 1e-6):  # nan compares false
        raise ValueError(f"t is {short(given)}: the times of a path run from 0, the source, to 1, the data.")
    return min(max(most, 0.0), 1.0)


def extent(name: str, values: Sequence[float], *, infinite: bool = False) -> tuple[float, float, float, float]:
    """Return (left, right, bottom, top), left < right and bottom < top, or raise; a side may be ``infinite``ly far."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} is {short(values)}: give four numbers, (left, right, bottom, top).")
    try:
        given = tuple(values)
    except TypeError:
        raise TypeError(f"{name} is {short(values)}: give four numbers, (left, right, bottom, top).") from None
    if infinite and any(math.isnan(_number(name, edge)) for edge in given):
        raise ValueError(
            f"{name} is {short(values)}: a side is a number, or math.inf or -math.inf where there is none."
        )
    edges = tuple(edge if infinite and abs(_number(name, edge)) == math.inf else finite(name, edge) for edge in given)
    if len(edges) != 4 or not (edges[0] < edges[1] and edges[2] < edges[3]):
        raise ValueError(
            f"{name} is {short(values)}: give (left, right, bottom, top) with left < right and bottom < top."
        )
    return edges


def box(
    low: Tensor | Sequence[float], high: Tensor | Sequence[float], x: Tensor
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the corners of a box as two pairs of floats, each low < high, or raise. A side may be infinitely far.

    They are rounded to the dtype of x; a side too far for it is infinitely far.
    """
    corners = []
    for name, corner in (("low", low), ("high", high)):
        try:
            entries = [_number(name, entry) for entry in (corner.tolist() if isinstance(corner, Tensor) else corner)]
        except (TypeError, NotImplementedError):  # the second: a tensor without values
            raise TypeError(f"{name} is {short(corner)}: give two numbers, one per coordinate.") from None
        if len(entries) != 2:
            raise ValueError(f"{name} has {len(entries)} entries: give 2, one per coordinate.")
        far = torch.finfo(x.dtype).max / 8
        rounded = torch.tensor(entries, dtype=torch.float64, device="cpu").to(x.dtype).tolist()
        corners.append(tuple(math.copysign(math.inf, side) if abs(side) > far else side for side in rounded))
    if not all(a < b for a, b in zip(*corners, strict=True)):  # nan compares false
        raise ValueError(
            f"low is {corners[0]} and high is {corners[1]}: each entry of low must be less than that of high. "
            "From an extent (left, right, bottom, top): low is (left, bottom), high is (right, top)."
        )
    return corners[0], corners[1]


def finite_cloud(name: str, x: Tensor) -> None:
    """Raise unless x is a cloud [n, 2] without nan or inf, in single or double precision."""
    cloud(name, x)
    _finite_rows(name, x)


def finite_table(name: str, x: Tensor) -> None:
    """Raise unless x is a table [n, k] without nan or inf, in single or double precision."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}: give a torch tensor [n, k], one row per observation.")
    if x.ndim != 2 or x.numel() == 0:
        remedy = f" Numbers become a column by {name}[:, None]." if x.ndim == 1 and len(x) else ""
        raise ValueError(f"{name} has shape {list(x.shape)}: give one row per observation, shape [n, k].{remedy}")
    devices.refuse_without_float64(name, x)
    _finite_rows(name, floating(name, x))


def _finite_rows(name: str, x: Tensor) -> None:
    """Raise unless a table holds numbers, all finite, in single or double precision."""
    if x.dtype in (torch.bfloat16, torch.float16):
        raise TypeError(f"{name} is in half precision, in which small steps are lost. Give {name}.float().")
    if not devices.has_values(x.device):
        raise ValueError(f"{name} is on meta, where tensors hold no numbers: give points on another device.")
    if not bool(x.isfinite().all()):
        bad = int((~x.isfinite().all(-1)).sum())
        first = int((~x.isfinite().all(-1)).nonzero()[0])
        raise ValueError(
            f"{name} holds {bad} points that are nan or inf, of {len(x)}, the first being {name}[{first}]: leave "
            "them out."
        )


def times(
    name: str,
    values: Tensor,
    low: float,
    *,
    rising: bool = False,
    example: str | None = None,
    remedy: str = "A grid of noise levels? Turn it into times with sde.time_of(sigmas).",
) -> list[float]:
    """The entries of a 1-D tensor of at least two times in [low, 1], strictly falling (or rising), or raise.

    What rounding to single precision puts just outside of the interval is moved to its end.
    """
    if not isinstance(values, Tensor) or values.ndim != 1 or len(values) < 2:
        given = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"{name} is {given}: give a 1-D tensor of at least 2 times, as "
            f"{example or f'schedules.uniform(1.0, {low:g}, 500)'} makes."
        )
    found = floating(name, values).tolist()
    if not all(low - 1e-6 <= t <= 1 + 1e-6 for t in found):  # nan compares false
        raise ValueError(f"{name} runs from {found[0]:g} to {found[-1]:g}: times lie in [{low:g}, 1]. {remedy}")
    steps = [b - a for a, b in zip(found, found[1:], strict=False)]
    if not all(step > 0 for step in steps) if rising else not all(step < 0 for step in steps):
        raise ValueError(
            f"{name} runs from {found[0]:g} to {found[-1]:g} and does not strictly {'rise' if rising else 'fall'}. "
            "Turn a grid round with .flip(0)."
        )
    return [min(max(t, low), 1.0) for t in found]


def simplex(name: str, weights: Tensor) -> Tensor:
    """Return ``weights`` [K], or raise ``ValueError`` unless they are positive and sum to 1."""
    if weights.ndim != 1 or len(weights) == 0:
        raise ValueError(f"{name} has shape {list(weights.shape)}: give a non-empty list, one per component.")
    if (weights <= 0).any():
        raise ValueError(f"{name} is {short(weights.tolist())}: each must be positive. Leave out empty components.")
    total = float(weights.sum())
    if abs(total - 1) > 1e-6:
        raise ValueError(f"{name} sum to {total:.7g}: they must sum to 1. Divide them by their sum.")
    return weights


def covariances(name: str, matrices: Tensor) -> Tensor:
    """Return ``matrices`` [K, 2, 2], or raise ``ValueError`` unless each is symmetric and positive definite."""
    floating(name, matrices)
    asymmetry = (matrices - matrices.mT).abs().amax((-2, -1))
    if (asymmetry > 1e-6 * matrices.abs().amax((-2, -1))).any():
        k = int(asymmetry.argmax())
        raise ValueError(f"{name}[{k}] is {short(matrices[k].tolist())}: it must be symmetric.")
    least = torch.linalg.eigvalsh(matrices).amin(-1)
    if (least <= 0).any():
        k = int(least.argmin())
        raise ValueError(
            f"{name}[{k}] is {short(matrices[k].tolist())}, with eigenvalue {float(least[k]):.3g}: "
            "it must be positive definite. A point mass? Use a small positive variance."
        )
    return matrices


def numbers(name: str, value: Any) -> Tensor:  # noqa: ANN401
    """``value`` as a tensor of float64 on the CPU, or an error unless it is finite numbers."""
    try:
        kind = getattr(value, "dtype", None)
        if getattr(kind, "is_complex", False) or getattr(kind, "kind", "") == "c":  # torch drops the imaginary part
            raise TypeError
        held = torch.as_tensor(value, dtype=torch.float64, device="cpu").detach().to("cpu", copy=True)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} is {short(value)}: it must be numbers, {why_not_numbers(value)}.") from None
    if not held.isfinite().all():
        raise ValueError(f"{name} is {short(held.tolist())}: every entry must be finite.")
    return held


def measurement(A: Any, y: Any, noise: float) -> tuple[Tensor, Tensor, float]:  # noqa: ANN401
    """Of y = A x + noise z: A as [m, 2], and y as [m] or [..., m], in float64 on the CPU, and noise; or raise."""
    rows, values = numbers("A", A), numbers("y", y)
    if rows.shape not in {(2,), (1, 2), (2, 2)}:
        raise ValueError(
            f"A has shape {list(rows.shape)}: give one row [2] or [1, 2], or two rows [2, 2], so that A x is one "
            "number or two."
        )
    m = 1 if rows.ndim == 1 else len(rows)
    values = values.reshape(1) if values.ndim == 0 and m == 1 else values
    if values.shape[-1:] != (m,):
        raise ValueError(
            f"y has shape {list(values.shape)} for an A of {m} row{'s' if m > 1 else ''}: give "
            f"{'two numbers, shape [2]' if m > 1 else 'a number, or shape [1]'}."
        )
    noise = positive("noise", noise, "It is a standard deviation; for an exact measurement give a small one")
    return rows.reshape(m, 2), values, noise


def measurements_of(y: Tensor, x: Tensor) -> None:
    """Raise ``ValueError`` unless y is one measurement [m], or broadcasts to one per point of ``x``, [..., m]."""
    wanted = torch.Size((*x.shape[:-1], y.shape[-1]))
    if y.ndim > 1 and not _broadcasts(y.shape, wanted):
        raise ValueError(
            f"y has shape {list(y.shape)} for x of shape {list(x.shape)}: give one measurement, [{y.shape[-1]}], or "
            f"one per point, {list(wanted)}."
        )


def function(name: str, value: object, example: str, takes: int | None = None) -> Callable[..., Any]:
    """Return ``value``, or raise ``TypeError`` unless it can be called (with so many arguments) and is no class."""
    refuse_class(name, value)
    if not callable(value):
        remedy = (
            "its network, as in trained.network" if hasattr(value, "network") else f"a function, for example {example}"
        )
        raise TypeError(f"{name} is a {type(value).__name__}: give {remedy}.")
    if takes is not None:
        try:
            inspect.signature(value).bind(*(None,) * takes)
        except TypeError:
            raise TypeError(
                f"{name} is a {type(value).__name__} that does not take {takes} argument{'s' if takes > 1 else ''}: "
                f"give one that can be called like {example}."
            ) from None
        except ValueError:  # of a function written in C the signature is not known
            pass
    return value


def score(name: str, value: object, *, of_sigma: bool = False, remedy: str | None = None) -> Callable[..., Any]:
    """Return ``value``, or raise ``TypeError`` unless it can be called with x, or with x and a noise level.

    A network whose values are those of its training mode alone is warned of.
    """
    return _field(name, value, fields.LEVEL_SCORE if of_sigma else fields.SCORE, remedy)


def velocity(name: str, value: object) -> Callable[..., Any]:
    """Return ``value``, or raise ``TypeError`` unless it can be called with x and a time; warns as ``score``."""
    return _field(name, value, fields.VELOCITY)


def batch_score(name: str, value: object) -> Callable[..., Any]:
    """Return ``value``, or raise ``TypeError`` unless it can be called with x and a batch of data."""
    return _field(name, value, fields.BATCH_SCORE)


def field(name: str, value: object, *kinds: fields.Kind, remedy: fields.Remedy = None) -> Callable[..., Any]:
    """Return ``value``, or raise ``TypeError`` unless it is a function, and no field of the library's of another kind.

    It is quick, as in a loop: what a function of the user's takes is found out when it is called.
    """
    called = function(name, value, kinds[0].example)
    fields.refuse_other(name, called, *kinds, remedy=remedy)
    return called


def _field(name: str, value: object, kind: fields.Kind, remedy: str | None = None) -> Callable[..., Any]:
    called = field(name, value, kind, remedy=remedy)
    if layer := _of_training_mode(called):
        warn(
            f"{name} is a network in training mode, with {layer}: what it gives at a point is random, or depends on "
            "the other points. Turn it into one in evaluation mode by network.eval() first."
        )
    try:
        parameters = inspect.signature(called)
    except (TypeError, ValueError):  # of a function written in C: it is found out at the first call
        return called
    try:
        parameters.bind(*kind.arguments)
    except TypeError:
        raise TypeError(fields.refusal(name, value, kind, remedy=remedy)) from None
    return called


def _of_training_mode(score: object) -> str | None:
    """The kind of a layer of a network that is another one in training mode, as it is now; None if there is none."""
    held = (
        score,
        getattr(score, "score", None),
        getattr(score, "__self__", None),
    )  # at(network, sigma), network.forward
    network = next((one for one in held if isinstance(one, nn.Module)), nn.Identity())
    kinds = (nn.BatchNorm1d, nn.SyncBatchNorm, nn.Dropout, nn.Dropout1d, nn.AlphaDropout)
    return next(
        (type(layer).__name__ for layer in network.modules() if layer.training and isinstance(layer, kinds)), None
    )


def _broadcasts(shape: torch.Size, to: torch.Size) -> bool:
    """Whether a tensor of one shape broadcasts to the other; ``torch.broadcast_shapes`` is slow, and loads sympy."""
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(shape[::-1], to[::-1], strict=False))


def readable(values: Tensor) -> bool:
    """Whether a check may read the values: not on a GPU, which it would wait for, nor those that a vmap runs over."""
    return devices.at_hand(values.device) and not is_batched(values)


def generator(value: torch.Generator | None) -> torch.Generator | None:
    """Return ``value``, or raise ``TypeError`` unless it is a generator of torch's or None."""
    if value is not None and not isinstance(value, torch.Generator):
        seed = value if isinstance(value, int) and not isinstance(value, bool) else 0
        raise TypeError(
            f"generator is {short(value)}, a {type(value).__name__}: give torch.Generator().manual_seed({seed}), or "
            "None for torch's global stream."
        )
    if value is not None:
        devices.refuse_without_float64("generator", value)
    return value


def _number(name: str, value: float) -> float:
    """As a float: of Python, of NumPy, or a tensor without dimensions; words and truth values are no numbers."""
    if type(value) is float:
        return value
    if isinstance(value, str | bytes | bytearray) or _kind(value) in _TRUTH_VALUES:
        raise TypeError(f"{name} is {short(value)}: it must be a number.")
    if getattr(value, "ndim", 0) > 0:
        raise TypeError(f"{name} has shape {list(np.shape(value))}: it must be a number.")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(f"{name} is {short(value)}: it must be a number.") from None


def _kind(value: object) -> object:
    """The dtype of an array, and the type of anything else."""
    return value.dtype if isinstance(value, Tensor | np.ndarray) else type(value)


_TRUTH_VALUES = (bool, np.bool_, np.dtype(bool), torch.bool)
