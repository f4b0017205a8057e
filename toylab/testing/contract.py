"""What the code of a loss must do, whatever its formula: shape, draws, independence of points, gradient."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from toylab.objectives.objective import NO_GENERATOR, takes_generator
from toylab.score import NoiseConditionalScore
from toylab.testing.expansion import target_of
from toylab.testing.report import Finding
from toylab.testing.truth import Losses, Truth, fields

AnyField = TypeVar("AnyField")


def check_shape(
    objective: object, losses: Callable[[AnyField, Tensor], Tensor], truth: AnyField, x: Tensor, field: str
) -> Finding:
    """One finite loss per point, for seven points; ``truth`` is the exact field: a score, a velocity or an energy."""
    if not takes_generator(objective):
        return Finding("shape", False, f"the loss {NO_GENERATOR}")
    return check_losses(losses, truth, x, f"objective({field}, x, generator=g)", field)


def check_losses(
    losses: Callable[[AnyField, Tensor], Tensor], truth: AnyField, x: Tensor, call: str, field: str
) -> Finding:
    """The same of a loss that need not take a generator, called as ``call`` says."""
    name = "shape"
    try:
        values = losses(truth, x[:7])
    except Exception as error:  # whatever the reader's loss raises is what is reported
        told = f"{call} raises {type(error).__name__}: {error}"
        return Finding(
            name,
            False,
            told + (_HANDED if call.startswith("objective") and isinstance(error, TypeError | AttributeError) else ""),
        )
    if not isinstance(values, Tensor):
        return Finding(name, False, f"gives a {type(values).__name__} for 7 points: give a tensor of 7 losses")
    if not values.is_floating_point() or values.dtype.itemsize < 4:
        return Finding(name, False, f"gives {values.dtype}: give losses in the dtype of the points, {x.dtype}")
    if values.shape != (7,):
        hint = "leave out the mean" if values.ndim == 0 else "sum over coordinates, and keep the batch" + _OF_ENERGIES
        return Finding(name, False, f"gives shape {list(values.shape)} for 7 points where [7] is wanted: {hint}")
    if not values.isfinite().all():
        return Finding(name, False, f"the loss of the true {field} is nan or inf")
    return Finding(name, True, "one finite loss per point")


_OF_ENERGIES = " (a loss of energies calls model.energy(x), or says network_of=lambda model: model.energy)"
_HANDED = (
    " (it is handed a plain function of points, the truth; what a loss takes in its place is told by network_of=. One "
    "of energies calls model.energy(x), and is checked without path= and at a single sigma)"
)


def check_levels(losses: Losses, truth: Truth, x: Tensor) -> Finding:
    """Each point asks for the score at one level, which is one of those that sigma names."""
    name, levels = "levels", target_of(losses, truth, x).levels
    foreign = levels[truth.group_of(levels) < 0]
    if len(foreign) == 0:
        return Finding(name, True, "each point asks for the score at one of the levels")
    if not foreign.isfinite().all():
        return Finding(name, False, "the loss does not rise with the square of the field at some level")
    return Finding(
        name,
        False,
        f"the loss asks for the score at sigma = {float(foreign[0]):.4g}, which is not among sigma, or at several "
        "levels for one point: give its levels by sigma=, and check a sum over levels one level at a time",
    )


def check_draws(losses: Callable[[AnyField, Tensor], Tensor], truth: AnyField, x: Tensor) -> Finding:
    """All random numbers come from the generator."""
    same = torch.equal(losses(truth, x[:50]), losses(truth, x[:50]))
    message = "same generator, same losses" if same else (
        "two calls with the same generator differ: draw all random numbers from the generator given"
    )  # fmt: skip
    return Finding("generator", same, message)


def check_independence(losses: Losses, truth: NoiseConditionalScore, x: Tensor) -> Finding:
    """The loss of a point changes with that point, and with no other."""
    name = "each point by itself"

    def half(y: Tensor, level: Tensor | float) -> Tensor:  # not the truth, whose loss may be 0 at every point
        return 0.5 * truth(y, level)

    few, first = x[:50], torch.arange(50, device="cpu") < 25
    here = losses(half, few)
    if bool((here == here[0]).all()):
        return Finding(
            name,
            False,
            "all losses of a batch are one number, its mean or the loss of one point: give each point its own",
        )
    changed = [
        ~torch.isclose(losses(half, torch.where(moved[:, None], few + 1.0, few)), here, rtol=1e-9, atol=1e-9)
        for moved in (first, ~first)
    ]
    if not bool(changed[0][~first].any() or changed[1][first].any()):
        return Finding(name, True, "the loss of a point depends on that point alone")
    if sorted(int(which.sum()) for which in changed) == [0, 50]:
        return Finding(
            name, False, "only one point of each batch is used, in the losses of all: take x, not one row of it"
        )
    return Finding(
        name,
        False,
        "the loss of a point changes when another point moves: do not divide by statistics of the batch, nor pair its "
        "points (with a coupling other than paths.independent the exact velocity is not known)",
    )


def check_gradient(losses: Losses, truth: NoiseConditionalScore, x: Tensor, field: str) -> Finding:
    """Automatic gradient against a central difference, exact up to rounding since the loss is quadratic."""
    name, few = "gradient", x[:200]
    theta = torch.tensor([0.7, 0.3, -0.2, 0.1], dtype=torch.float64, device="cpu")

    def mean_loss(theta: Tensor) -> Tensor:
        def combined(y: Tensor, level: Tensor | float) -> Tensor:
            parts = torch.stack([truth(y, level), *fields(y, level).values()], -1)
            return (parts * theta).sum(-1)

        return losses(combined, few).mean()

    parameters = theta.clone().requires_grad_()
    loss = mean_loss(parameters)
    if not loss.requires_grad:
        return Finding(name, False, f"the loss carries no gradient to the {field}: no detach, no no_grad in the loss")
    (gradient,) = torch.autograd.grad(loss, parameters)
    h, steps = 1e-3, torch.eye(4, dtype=torch.float64, device="cpu")
    expected = torch.stack([(mean_loss(theta + h * e) - mean_loss(theta - h * e)).detach() / (2 * h) for e in steps])
    right = torch.allclose(gradient, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    message = "is that of the loss" if right else (
        f"backward gives {_round(gradient)} where the loss itself changes by {_round(expected)}: "
        f"a part of it is detached from the {field}"
    )  # fmt: skip
    return Finding(name, right, message)


def _round(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
