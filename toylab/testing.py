"""Is a loss a score-matching loss? ``check_objective`` holds it against a law whose score is known exactly.

>>> from toylab.objectives import Denoising
>>> check_objective(Denoising(0.5), sigma=0.5).passed
True
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import Density, GaussianMixture
from toylab.densities.quadrature import expectation
from toylab.objectives.noise_conditional import ContinuousLevels, Levels, square
from toylab.score import Score

Objective = Callable[..., Tensor]

LAW = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)

_Z = 5.0  # standard errors: each of the dozen statistics of a right loss fails with probability 6e-7
_FIRST = "(sin(x1) + cos(x2), 0)"
_SECOND = "(0, cos(x1) + sin(2 x2))"
_SWIRL = "(tanh(x2), -tanh(x1))"
_UNEVEN = "tanh(x1 + x2) s*"  # sees a multiple of the score that is not the same everywhere
_DIRECTIONS = ("s*", _FIRST, _SECOND, _SWIRL, _UNEVEN)


def _fields(x: Tensor) -> dict[str, Tensor]:
    """Three fields to disturb the truth with: one a coordinate, and one that is nobody's gradient."""
    x1, x2 = x.unbind(-1)
    zero = torch.zeros_like(x1)
    return {
        _FIRST: torch.stack([x1.sin() + x2.cos(), zero], -1),
        _SECOND: torch.stack([zero, x1.cos() + (2 * x2).sin()], -1),
        _SWIRL: torch.stack([x2.tanh(), -x1.tanh()], -1),
    }


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        check: its name.
        passed: whether the loss is right in this.
        message: what was measured, and in words what is wrong.
    """

    check: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Report:
    """All that ``check_objective`` found; printed, a line a check.

    Attributes:
        findings: in the order they were made. A loss that cannot be called is not checked further.
        loss_std: standard deviation of the loss of one point at the truth: no fault, but what training has to bear.
    """

    findings: tuple[Finding, ...]
    loss_std: float = math.nan

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.passed for finding in self.findings)

    @property
    def wrong(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        return "; ".join(finding.message for finding in self.findings if not finding.passed)

    def __str__(self) -> str:
        lines = [f"{'ok   ' if f.passed else 'WRONG'} {f.check}: {f.message}" for f in self.findings]
        return "\n".join(
            [*lines, f"      standard deviation of the loss of a point, at the truth: {self.loss_std:.3g}"]
        )


def check_objective(
    objective: Objective,
    *,
    sigma: float | Levels = 0.0,
    weight: float | Callable[[Tensor], Tensor] | None = None,
    network_of: Callable[[Score], Score] | None = None,
    law: Density = LAW,
    n: int = 100_000,
    seed: int = 0,
) -> Report:
    """Check that the mean of a loss is a Fisher divergence, but for a constant, and say in words what is wrong if not.

    On ``law``, of which the score s* is known at every noise level, the loss of n points is taken for fields made of
    s*: along a s*, where the minimiser must be a = 1, and at s* +- f for four other fields f. As the loss is
    quadratic in the field, slope and curvature in each direction follow exactly, with the same random numbers on both
    sides; each is held against quadrature by a z-test at 5 standard errors. A right loss fails one of them once in
    1e5 runs; a wrong sign, factor or noise scale is off by far more.

    Args:
        objective: called as objective(score, x, generator=g), it gives one loss a point [n]; one from
            ``toylab.objectives`` or your own. Its ``offset(density)``, if it has one, is checked too.
        sigma: the noise level whose score the objective is to learn: 0 for that of the data, a standard deviation, or
            the levels of a noise-conditional loss (a decreasing tensor, ``LogUniform`` or ``LogNormal``).
        weight: what the Fisher divergence is multiplied by: lambda, a number or a function of the level. None is 1 at
            a single sigma, and sigma^2 at levels.
        network_of: what the objective is to be called with for a score, if not the score itself: for a loss of noise
            predictions, ``lambda s: lambda x: -sigma * s(x)``.
        law: the truth. An objective that holds a target of its own (``Explicit``) is checked on the law of its target.
        n: points.
        seed: of the points and of what the objective draws, so that a report is reproducible.

    Raises:
        TypeError, ValueError: for bad arguments; never for a bad objective, which is reported.
    """
    validate.function("objective", objective, "objectives.Sliced()")
    validate.count("n", n, least=100)
    validate.count("seed", seed, least=0)
    truth = _Truth(law, sigma, weight)
    x = law.to(torch.float64).sample((n,), generator=torch.Generator().manual_seed(2 * seed))

    def traced(field: Callable[[Tensor, Tensor | float], Tensor], x: Tensor) -> Tensor:
        """With the same random numbers at every call; a loss may differentiate the score by autograd."""
        score = truth.score_of(field)
        score = score if network_of is None else network_of(score)
        with torch.enable_grad():
            return objective(score, x.detach(), generator=torch.Generator().manual_seed(2 * seed + 1))

    def losses(field: Callable[[Tensor, Tensor | float], Tensor], x: Tensor) -> Tensor:
        return traced(field, x).detach()

    findings = [_shape(traced, law, x)]
    if not findings[-1].passed:
        return Report(tuple(findings))
    findings.append(_same_draws(losses, law, x))
    findings.append(_each_point_by_itself(losses, law, x))
    findings.append(_gradient(traced, law, x))
    with torch.no_grad():
        directions = {name: _direction(name, law) for name in _DIRECTIONS}
        at_truth = losses(law.score, x)

        def around(a: float) -> dict[str, tuple[Tensor, Tensor]]:
            """Losses at a s* + f and at a s* - f, for each direction f."""
            return {
                name: tuple(losses(lambda y, level, f=f, h=h: a * law.score(y, level) + h * f(y, level), x)
                            for h in (1, -1))
                for name, f in directions.items()
            }  # fmt: skip

        pairs = around(1.0)
        curvatures = {name: (ahead + behind) / 2 - at_truth for name, (ahead, behind) in pairs.items()}
        findings.append(_minimiser(pairs, curvatures, truth, around))
    findings.append(_scale(curvatures, truth))
    findings.append(_constant(objective, at_truth, law))
    return Report(tuple(findings), float(at_truth.std()))


class _Truth:
    """What the loss stands for: the law, the levels with their weights, and the exact curvatures there."""

    def __init__(self, law: Density, sigma: float | Levels, weight: float | Callable | None) -> None:
        self.law, self.sigma = law, sigma
        conditional = isinstance(sigma, Tensor | ContinuousLevels)
        if isinstance(sigma, Tensor):
            levels, shares = validate.levels("sigma", sigma).double(), torch.full((len(sigma),), 1 / len(sigma))
        elif conditional:
            levels, shares = sigma.nodes()
        else:
            levels, shares = torch.tensor([float(validate.noise_level(sigma, torch.zeros(2)))]).double(), torch.ones(1)
        weight = (square if conditional else 1.0) if weight is None else weight
        weights = [float(weight(level)) if callable(weight) else float(weight) for level in levels]
        self.single = None if conditional else float(levels[0])
        self._known: dict[str, float] = {}
        self.parts = [(float(a) * w, float(level)) for a, w, level in zip(shares, weights, levels, strict=True)]

    def score_of(self, field: Callable[[Tensor, Tensor | float], Tensor]) -> Score:
        """The field as the objective calls it: with the level where there are several, without where there is one."""

        def score(x: Tensor, *level: Tensor | float) -> Tensor:
            if not level and self.single is None:
                raise TypeError("the objective calls score(x) without a level, but sigma says there are several")
            return field(x, level[0] if level else self.single)

        return score

    def curvature(self, name: str) -> float:
        """The mean of w 1/2 |f|^2 over p_sigma and the levels."""
        if name not in self._known:
            f = _direction(name, self.law)
            self._known[name] = sum(
                w * expectation(lambda y, s=s: 0.5 * f(y, s).square().sum(-1), self.law, s)
                for w, s in self.parts
                if w > 0
            )
        return self._known[name]


def _direction(name: str, law: Density) -> Callable[[Tensor, Tensor | float], Tensor]:
    """The field of that name."""
    if name == "s*":
        return law.score
    if name == _UNEVEN:
        return lambda x, level: x.sum(-1, keepdim=True).tanh() * law.score(x, level)
    return lambda x, level: _fields(x)[name]


def _shape(losses: Callable, law: Density, x: Tensor) -> Finding:
    name = "shape"
    try:
        values = losses(law.score, x[:7])
    except Exception as error:  # whatever the reader's loss raises is what is reported
        said = f"{type(error).__name__}: {error}"
        return Finding(name, False, f"objective(score, x, generator=g) raises {said}")
    if not isinstance(values, Tensor):
        return Finding(name, False, f"gives a {type(values).__name__} for 7 points: give a tensor of 7 losses")
    if values.shape != (7,):
        hint = "leave out the mean" if values.ndim == 0 else "sum over coordinates, and keep the batch"
        return Finding(name, False, f"gives shape {list(values.shape)} for 7 points where [7] is wanted: {hint}")
    if not values.isfinite().all():
        return Finding(name, False, "the loss of the true score is nan or inf")
    return Finding(name, True, "one finite loss a point")


def _same_draws(losses: Callable, law: Density, x: Tensor) -> Finding:
    same = torch.equal(losses(law.score, x[:50]), losses(law.score, x[:50]))
    message = "same generator, same losses" if same else (
        "two calls with the same generator differ: draw all random numbers from the generator given"
    )  # fmt: skip
    return Finding("generator", same, message)


def _each_point_by_itself(losses: Callable, law: Density, x: Tensor) -> Finding:
    def half(y: Tensor, level: Tensor | float) -> Tensor:  # not the truth, whose loss may be 0 at every point
        return 0.5 * law.score(y, level)

    moved = x[:50].clone()
    moved[0] = moved[0] + 1.0
    one, other = losses(half, x[:50]), losses(half, moved)
    apart = torch.allclose(one[1:], other[1:], rtol=1e-9, atol=1e-9)
    message = "the loss of a point depends on that point alone" if apart else (
        "the loss of a point changes when another point moves: do not divide by statistics of the batch"
    )  # fmt: skip
    return Finding("each point by itself", apart, message)


def _gradient(losses: Callable, law: Density, x: Tensor) -> Finding:
    """Automatic gradient against a central difference, exact but for rounding as the loss is quadratic."""
    name, few = "gradient", x[:200]
    theta = torch.tensor([0.7, 0.3, -0.2, 0.1], dtype=torch.float64)

    def mean_loss(theta: Tensor) -> Tensor:
        def field(y: Tensor, level: Tensor | float) -> Tensor:
            parts = torch.stack([law.score(y, level), *_fields(y).values()], -1)
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
        f"backward gives {_rounded(gradient)} where the loss itself changes by {_rounded(expected)}: "
        "a part of it is detached from the score"
    )  # fmt: skip
    return Finding(name, right, message)


def _minimiser(
    pairs: dict[str, tuple[Tensor, Tensor]], curvatures: dict[str, Tensor], truth: _Truth, around: Callable
) -> Finding:
    """The slope at the truth must be 0 in every direction; if it is not, the minimiser along s* says what is wrong."""
    name = "minimiser"
    slopes = {direction: (ahead - behind) / 2 for direction, (ahead, behind) in pairs.items()}
    off = [direction for direction, slope in slopes.items() if not _is_mean(slope, 0.0)]
    if not off:
        return Finding(name, True, "the true score, in all five directions tried")
    curved = 2 * float(curvatures["s*"].mean())
    if curved <= 0:
        return Finding(name, False, "the loss falls without bound as the field grows: sign of the |s|^2 term")
    a = 1 - float(slopes["s*"].mean()) / curved
    error = float((slopes["s*"] + 2 * (a - 1) * curvatures["s*"]).std()) / math.sqrt(len(slopes["s*"])) / curved
    tolerance = max(_Z * error, 0.02)
    why = _explained(a, tolerance, truth.single)
    slack = tolerance * math.sqrt(curved)  # a is known that well, and the slope along f changes with it
    others = {direction: (ahead - behind) / 2 for direction, (ahead, behind) in around(a).items() if direction != "s*"}
    multiple = all(
        _is_mean(slope, 0.0, slack * math.sqrt(2 * float(curvatures[direction].mean().abs())))
        for direction, slope in others.items()
    )
    if multiple and why:
        return Finding(name, False, f"converges to {why}")
    slopes_said = ", ".join(off)
    return Finding(
        name,
        False,
        "the loss is not least at the true score, nor at a multiple of it that is a known slip: its target is another "
        f"field (nearest multiple of s: {a:.2f}; slope where there must be none: {slopes_said})",
    )


def _explained(a: float, tolerance: float, sigma: float | None) -> str:
    """The usual suspects for a minimiser of a times the score."""
    suspects = [
        (-1.0, "-s: sign of the target, or of the divergence term"),
        (0.0, "0: the target, or the divergence term, has no part in the loss"),
        (
            0.5,
            "s/2: the divergence term is halved (a trace divided by d = 2, directions with E v v^T = I/d) "
            "against 1/2 |s|^2, or |s|^2 has lost its 1/2",
        ),  # fmt: skip
        (2.0, "2 s: the divergence term, or the cross term, counts twice against 1/2 |s|^2"),
        (-0.5, "-s/2: sign and a factor of 2"),
        (-2.0, "-2 s: sign and a factor of 2"),
    ]
    if sigma:
        suspects += [
            (1 / sigma, "s/sigma: the target is z/sigma^2 where -z/sigma is meant"),
            (-1 / sigma, "-s/sigma: the target has the wrong sign and is divided by sigma once too often"),
            (sigma, "sigma s: the target is -z where -z/sigma is meant"),
            (-sigma, "-sigma s, the noise itself: a noise prediction z is no score; the score is -z/sigma"),
            (1 / sigma**2, "s/sigma^2: the target is divided by sigma twice too often"),
            (sigma**2, "sigma^2 s: the target is -sigma z where -z/sigma is meant"),
            (1 / (8 * math.pi * sigma**2), "s/(8 pi sigma^2): the target is grad q(y | x) where grad log q is meant"),
        ]  # fmt: skip
    return "; or to ".join(words for value, words in suspects if abs(a - value) < tolerance * max(1, abs(value)))


def _scale(curvatures: dict[str, Tensor], truth: _Truth) -> Finding:
    name, ratios = "scale", _ratios(curvatures, truth)
    if all(_is_mean(curvature, truth.curvature(direction)) for direction, curvature in curvatures.items()):
        return Finding(name, True, "rises from the truth as w 1/2 |s - s*|^2")
    for direction, words in ((_FIRST, "first"), (_SECOND, "second")):
        if abs(ratios[direction]) < 0.02:
            said = "directions must have E v v^T = I, drawn anew for each point"
            return Finding(name, False, f"the loss does not see the {words} coordinate of the field: {said}")
    if _alike(ratios):
        ratio = ratios["s*"]
        return Finding(name, False, f"is {ratio:.2g} times w 1/2 |s - s*|^2: {_factor(ratio, truth.single)}")
    listed = ", ".join(f"{ratio:.2f} along {direction}" for direction, ratio in ratios.items())
    return Finding(
        name,
        False,
        f"the loss does not rise as w 1/2 |s - s*|^2 but by other multiples in different directions ({listed}): the "
        "field is taken at points of another law, as with another noise scale, or is not squared as |s|^2",
    )


def _ratios(curvatures: dict[str, Tensor], truth: _Truth) -> dict[str, float]:
    """Measured against exact curvature, in each direction."""
    return {
        direction: float(curvature.mean()) / truth.curvature(direction) for direction, curvature in curvatures.items()
    }


def _alike(ratios: dict[str, float]) -> bool:
    low, high = min(ratios.values()), max(ratios.values())
    return high - low < 0.05 * abs(high)


def _factor(ratio: float, sigma: float | None) -> str:
    suspects = [(2.0, "the 1/2 is missing"), (0.5, "there is a 1/2 too many")]
    if sigma:
        suspects += [(sigma**2, "a weight sigma^2, as of a noise prediction; say so by weight="),
                     (sigma, "a weight sigma"), (1 / sigma, "a weight 1/sigma"),
                     (1 / sigma**2, "a weight 1/sigma^2")]  # fmt: skip
    words = [said for value, said in suspects if abs(ratio / value - 1) < 0.03]
    return " or ".join(words) if words else "a constant factor; say so by weight=, or take it out"


def _constant(objective: Objective, at_truth: Tensor, law: Density) -> Finding:
    name, needed = "constant", -float(at_truth.mean())
    if not hasattr(objective, "offset"):
        return Finding(name, True, f"not checked: the loss has no offset(density); {needed:.4g} by Monte Carlo")
    offset = float(objective.offset(law))
    if _is_mean(at_truth + offset, 0.0):
        return Finding(name, True, f"mean loss + offset is 0 at the truth (offset {offset:.4g})")
    said = f"offset(law) is {offset:.4g}, and mean loss + offset = 0 at the truth needs {needed:.4g}"
    return Finding(name, False, said)


def _is_mean(values: Tensor, mean: float, slack: float = 0.0) -> bool:
    """z-test; values that do not vary must equal the mean."""
    error = float(values.std()) / math.sqrt(len(values))
    return abs(float(values.mean()) - mean) <= _Z * error + slack + 1e-9 * max(1.0, abs(mean))


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
