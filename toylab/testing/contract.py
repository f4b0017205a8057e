"""What the code of a loss must do, whatever its formula: shape, draws, independence of points, gradient."""

import torch
from torch import Tensor

from toylab.densities import Density
from toylab.objectives.objective import NO_GENERATOR, takes_generator
from toylab.testing.expansion import target_of
from toylab.testing.report import Finding
from toylab.testing.truth import Losses, Truth, fields


def check_shape(objective: object, losses: Losses, density: Density, x: Tensor) -> Finding:
    """One finite loss per point, for seven points."""
    name = "shape"
    if not takes_generator(objective):
        return Finding(name, False, f"the loss {NO_GENERATOR}")
    try:
        values = losses(density.score, x[:7])
    except Exception as error:  # whatever the reader's loss raises is what is reported
        return Finding(name, False, f"objective(score, x, generator=g) raises {type(error).__name__}: {error}")
    if not isinstance(values, Tensor):
        return Finding(name, False, f"gives a {type(values).__name__} for 7 points: give a tensor of 7 losses")
    if not values.is_floating_point() or values.dtype.itemsize < 4:
        return Finding(name, False, f"gives {values.dtype}: give losses in the dtype of the points, {x.dtype}")
    if values.shape != (7,):
        hint = "leave out the mean" if values.ndim == 0 else "sum over coordinates, and keep the batch"
        return Finding(name, False, f"gives shape {list(values.shape)} for 7 points where [7] is wanted: {hint}")
    if not values.isfinite().all():
        return Finding(name, False, "the loss of the true score is nan or inf")
    return Finding(name, True, "one finite loss per point")


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


def check_draws(losses: Losses, density: Density, x: Tensor) -> Finding:
    """All random numbers come from the generator."""
    same = torch.equal(losses(density.score, x[:50]), losses(density.score, x[:50]))
    message = "same generator, same losses" if same else (
        "two calls with the same generator differ: draw all random numbers from the generator given"
    )  # fmt: skip
    return Finding("generator", same, message)


def check_independence(losses: Losses, density: Density, x: Tensor) -> Finding:
    """The loss of a point does not change when another point moves."""

    def half(y: Tensor, level: Tensor | float) -> Tensor:  # not the truth, whose loss may be 0 at every point
        return 0.5 * density.score(y, level)

    moved = x[:50].clone()
    moved[0] = moved[0] + 1.0
    one, other = losses(half, x[:50]), losses(half, moved)
    apart = torch.allclose(one[1:], other[1:], rtol=1e-9, atol=1e-9)
    message = "the loss of a point depends on that point alone" if apart else (
        "the loss of a point changes when another point moves: do not divide by statistics of the batch"
    )  # fmt: skip
    return Finding("each point by itself", apart, message)


def check_gradient(losses: Losses, density: Density, x: Tensor) -> Finding:
    """Automatic gradient against a central difference, exact up to rounding since the loss is quadratic."""
    name, few = "gradient", x[:200]
    theta = torch.tensor([0.7, 0.3, -0.2, 0.1], dtype=torch.float64)

    def mean_loss(theta: Tensor) -> Tensor:
        def field(y: Tensor, level: Tensor | float) -> Tensor:
            parts = torch.stack([density.score(y, level), *fields(y, level).values()], -1)
            return (parts * theta).sum(-1)

        return losses(field, few).mean()

    parameters = theta.clone().requires_grad_()
    loss = mean_loss(parameters)
    if not loss.requires_grad:
        return Finding(name, False, "the loss carries no gradient to the score: no detach, no no_grad in the loss")
    (gradient,) = torch.autograd.grad(loss, parameters)
    h, steps = 1e-3, torch.eye(4, dtype=torch.float64)
    expected = torch.stack([(mean_loss(theta + h * e) - mean_loss(theta - h * e)).detach() / (2 * h) for e in steps])
    right = torch.allclose(gradient, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    message = "is that of the loss" if right else (
        f"backward gives {_round(gradient)} where the loss itself changes by {_round(expected)}: "
        "a part of it is detached from the score"
    )  # fmt: skip
    return Finding(name, right, message)


def _round(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
