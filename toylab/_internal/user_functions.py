"""What the functions that a user hands over give: checked as they are called, with a remedy in each message.

Types, shapes, dtypes and devices are looked at; values only by ``finite_values``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toylab._internal.devices import has_values
from toylab._internal.display import reason
from toylab._internal.torch_private import version


def scores_of(name: str, values: object, x: Tensor) -> Tensor:
    """Return what the user's score gave at the points x, or raise unless it is one vector per point, of their kind.

    Neither x nor the values are read.
    """
    return field_of(name, _of_their_kind(name, values, x), x)


def field_of(name: str, values: object, x: Tensor) -> Tensor:
    """Return what a field gave at the points x, in whatever precision, or raise unless it is one vector per point."""
    found = _tensor(name, values)
    if found.shape != x.shape:
        given = f"{name} gives shape {list(found.shape)} for points of shape {list(x.shape)}"
        if found.shape == x.shape[:-1]:
            raise ValueError(
                f"{given}: one number per point, as a log-density gives. A score gives a vector: take p.score, or the "
                "gradient of the log-density, lambda x: toylab.score.gradient(log_prob, x). Are log_prob and score "
                "swapped?"
            )
        raise ValueError(f"{given}: it must give one vector per point, of the shape of the points.")
    return found


def log_probs_of(name: str, values: object, x: Tensor) -> Tensor:
    """Return what the user's log-density gave at the points x, or raise unless it is one number per point.

    Neither x nor the values are read.
    """
    found = _of_their_kind(name, values, x)
    if found.shape != x.shape[:-1]:
        given = f"{name} gives shape {list(found.shape)} for points of shape {list(x.shape)}"
        if found.shape == x.shape:
            remedy = "A sum over the coordinates is .sum(-1). Is it the score? Then log_prob and score may be swapped."
        elif found.shape == (*x.shape[:-1], 1):
            remedy = "Drop the last dimension by .squeeze(-1)."
        elif found.ndim == 0:
            remedy = "It was summed over the points: sum over the coordinates alone, by .sum(-1)."
        else:
            remedy = "A sum over the coordinates is .sum(-1)."
        raise ValueError(f"{given}: it must give one number per point, shape {list(x.shape[:-1])}. {remedy}")
    return found


def call_score(name: str, score: Callable[..., Any], x: Tensor, *rest: Any) -> Tensor:  # noqa: ANN401
    """score(x, *rest), checked by ``scores_of``; torch's own errors about dtypes and the like say what to do."""
    return scores_of(name, called(name, score, x, *rest), x)


def call_field(name: str, score: Callable[..., Any], x: Tensor, *rest: Any) -> Tensor:  # noqa: ANN401
    """The same in whatever precision the values come, as under ``torch.autocast``."""
    return field_of(name, called(name, score, x, *rest), x)


def call_log_prob(name: str, log_prob: Callable[..., Any], x: Tensor, *rest: Any) -> Tensor:  # noqa: ANN401
    """log_prob(x, *rest), checked by ``log_probs_of``; torch's own errors about dtypes and the like say what to do."""
    return log_probs_of(name, called(name, log_prob, x, *rest), x)


def finite_values(name: str, values: Tensor, x: Tensor) -> None:
    """Raise unless what a function gave at the points x where chains start is finite; it reads the values."""
    if not has_values(values.device):  # it has none
        return
    fine = values.isfinite()
    fine = fine.all(-1) if values.shape == x.shape else fine
    if not bool(fine.all()):
        bad, first = int((~fine).sum()), (~fine).nonzero()[0].tolist()
        value = values[tuple(first)]
        raise ValueError(
            f"{name} is nan or inf at {bad} of {fine.numel()} starts, the first being x{first} = "
            f"{_few(x[tuple(first)])}, where it is {_few(value)}: from there no step can be taken. Start where the law "
            "has a density, as at p.sample((n,)), or leave these starts out."
        )


def _few(values: Tensor) -> str:
    """A number or a point in words."""
    if values.ndim == 0:
        return f"{float(values):.6g}"
    return f"({', '.join(f'{float(entry):.6g}' for entry in values)})"


def called(name: str, f: Callable[..., Any], x: Tensor, *rest: Any) -> object:  # noqa: ANN401
    """f(x, *rest), which must leave x as it is; torch's own errors about dtypes and the like say what to do."""
    before = None if x.is_inference() else version(x)
    try:
        values = f(x, *rest)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise  # from inside of f; else it was the call itself that failed
        arguments = "x" if not rest else "x, sigma" if len(rest) == 1 else "x, ..."
        raise TypeError(
            f"{name} is a {type(f).__name__}, which cannot be called as {name}({arguments}): {error}. Give a function "
            f"of {'the points' if not rest else 'the points and the noise level'}, such as p.score."
        ) from error
    except RuntimeError as error:  # of torch, which names neither the function nor the way out
        if (remedy := _remedy(str(error), f, x)) is None:
            raise
        raise TypeError(
            f"{name} failed at points of shape {list(x.shape)}, {x.dtype}, on {x.device}: {remedy} "
            f"torch says: {reason(error)}"
        ) from error
    if before is not None and version(x) != before:
        raise ValueError(
            f"{name} changes the points that it is given, in place, and whoever called it goes on with these. Write "
            "x = x - m for x -= m and the like, or let it begin with x = x.clone()."
        )
    return values


def _remedy(text: str, f: object, x: Tensor) -> str | None:
    """What to do about an error of torch's from a call of f at points x, or None."""
    owner = getattr(f, "__self__", f)
    weight = next(owner.parameters(), None) if isinstance(owner, torch.nn.Module) else None
    if "same device" in text:
        where = f"its weights are on {weight.device}" if weight is not None else "not all is on one device"
        return f"{where}. Move the points by x.to(device), or the network by network.to({str(x.device)!r})."
    if "dtype" in text or "scalar type" in text:
        own = weight.dtype if weight is not None else None
        holds = f"its weights are {own}, which must be the dtype of the points" if own else "it mixes dtypes"
        points = "" if own in (torch.bfloat16, torch.float16) else f"points by x.to({own or torch.float32}), or "
        return f"{holds}. Give {points}a network by network.to({x.dtype})."
    if "does not require grad" in text:
        return (
            "it asks for gradients, which are switched off here. Give lambda x: toylab.score.gradient(log_prob, x), "
            "which switches them on, or compute them under torch.enable_grad()."
        )
    if "running_mean should contain" in text:
        return (
            f"BatchNorm1d takes points [n, 2] and here they are {list(x.shape)}. Let the network begin with "
            "x.reshape(-1, 2), and give back its result .view(x.shape)."
        )
    if "shapes cannot be multiplied" in text or "must match the size" in text:
        return "it expects points of another shape. It must take one point of the plane per row, [n, 2]."
    return None


def _tensor(name: str, values: object) -> Tensor:
    if not isinstance(values, Tensor):
        raise TypeError(
            f"{name} gives a {type(values).__name__}: it must give a torch tensor, such as torch.from_numpy makes."
        )
    return values


def _of_their_kind(name: str, values: object, x: Tensor) -> Tensor:
    """Return ``values``, or raise unless they are a tensor of the dtype of x, on its device."""
    values = _tensor(name, values)
    if values.device != x.device:
        raise ValueError(
            f"{name} gives values on {values.device} for points on {x.device}: make its constants there, as in "
            "mean.to(x), or move the points."
        )
    if values.dtype != x.dtype:
        remedy = f"make its constants of the dtype of x, as in mean.to(x), or cast its result by .to({x.dtype})"
        if values.dtype in (torch.bfloat16, torch.float16):
            remedy = (
                "half precision has two or three digits, too few for a step. Leave torch.autocast, or, if you mean it, "
                "cast its result by .to(x)"
            )
        raise TypeError(f"{name} gives {values.dtype} for points of {x.dtype}: {remedy}.")
    return values
