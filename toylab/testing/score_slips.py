"""Known slips of a loss of a score, by what it does with its points (module ``seen``) and by its shape.

A denoising loss asks for the score at y = a x + b with the target u: right are a = 1, b = sigma z and u = -z / sigma.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.score import NoiseConditionalScore, at, value_and_jacobian
from toylab.testing.estimate import estimate
from toylab.testing.seen import Asked, Seen, asked, close, differentiates, look_at, unrelated
from toylab.testing.truth import FIRST, SECOND, SWIRL, TRUTH, Losses, Truth

_ALIKE = 0.03  # of standard deviations of 10,000 numbers, known to half a percent
_HEAVY = 0.3  # excess kurtosis: as much in 40,000 normal numbers has a probability below 1e-9
_FEW = 1000  # points for the shape of a loss
_CURVED = 1e-6  # relative: of rounding in a third difference
_COUNTS = 0.05  # a derivative is counted so many times more or less than it should be
_SURE = 5.0  # standard errors, of words for what is wrong already
_POINT = 1e-12  # variance of a component that is to be a point
_FAR = 1.0  # from an axis: there 1 / x^2 is not clamped


def explain_points(losses: Losses, truth: Truth, x: Tensor) -> str:
    """What is wrong with the shape of the loss, or with the points at which it asks; empty if that is not known."""
    if words := _of_shape(losses, truth, x[:_FEW]):
        return words
    seen = None if differentiates(losses, x) else look_at(losses, x)
    return "" if seen is None else _of_points(seen, truth)


def explain_target(losses: Losses, truth: Truth, x: Tensor) -> str:
    """What is wrong with the target; empty if it is not known, or a multiple of the right one (``slips``)."""
    if differentiates(losses, x):
        return _of_a_divergence(losses, truth, x) if truth.least == 0 else ""
    seen, once = look_at(losses, x), asked(losses, x)
    if seen is not None:
        return _of_target(seen) if truth.least > 0 else ""
    return "" if once is None else _of_a_field(once, truth, x)


def _of_shape(losses: Losses, truth: Truth, x: Tensor) -> str:
    """A loss that is not quadratic in the field: its third difference along others is not 0."""
    f, g = truth.direction(FIRST), truth.direction(SWIRL)

    def both(y: Tensor, level: Tensor | float, /) -> Tensor:
        return f(y, level) + g(y, level)

    values = torch.stack([losses(_about(truth, both, h), x) for h in (-1.0, 0.0, 1.0, 2.0)])
    if _is_quadratic(values):
        return ""
    if _is_quadratic(values.square()):
        return "a norm that is not squared: 1/2 |s - u|^2 is meant"
    signs = [values * values.new_tensor((1.0, *others))[:, None] for others in itertools.product((1, -1), repeat=3)]
    if bool(torch.stack([_third(signed).abs() for signed in signs]).amin(0).max() < _CURVED * values.abs().max()):
        return "an absolute value or an outer norm, |v^T grad s v + 1/2 |s|^2| say: a loss may be negative"
    return "the loss is not quadratic in the field: a squared error is meant, and no other measure of it"


def _about(truth: Truth, f: NoiseConditionalScore, h: float) -> NoiseConditionalScore:
    return lambda y, level: truth.density.score(y, level) + h * f(y, level)


def _third(values: Tensor) -> Tensor:
    return values[3] - 3 * values[2] + 3 * values[1] - values[0]


def _is_quadratic(values: Tensor) -> bool:
    return bool(_third(values).abs().max() < _CURVED * values.abs().max())


def _of_points(seen: Seen, truth: Truth) -> str:
    """What is wrong with the points at which the score is asked for, and with the target beside it."""
    a, b, level = seen.data, seen.noise, seen.t
    share = float(a.mean())
    noisy = float(b.square().mean()) > 1e-12
    if not close(a, torch.ones_like(a)):
        of = f"{share:.3g} x" if close(a, torch.full_like(a, share)) else "another multiple of x at each level"
        return (
            f"the noised point holds {of} where x is meant, as of a variance-preserving process: its score is that of "
            "another law, p.scaled(alpha).noised(sigma)"
        )
    if truth.least == 0:
        size = float(b.square().mean().sqrt())
        return f"the score is asked for at noised points: say so by sigma={size:.2g}" if noisy else ""
    if not noisy:
        return "the score is asked for at x itself: no noise is added"
    z = b / level[:, None]
    mean, std = z.mean(0), z.std(0)
    if float(std.amin()) < 1e-3 * float(std.amax()):
        return "one coordinate of a point gets no noise"
    if float(torch.corrcoef(z.T)[0, 1].abs()) > 0.5:
        return "the noise of the two coordinates is the same number, or correlated: draw one for each, of x.shape"
    if bool((mean.abs() > 0.1 * std).any()):
        uniform = bool(((mean - 0.5).abs() < 0.02).all()) and bool(((std * 12**0.5 - 1).abs() < _ALIKE).all())
        is_it = "is uniform on [0, 1), rand for randn" if uniform else f"has the mean {_round(mean)}, where 0 is meant"
        return f"the noise {is_it}"
    return _of_std(seen)


def _of_std(seen: Seen) -> str:
    """What is wrong with the standard deviation of the noise, at low and at high levels."""
    z, level = seen.noise / seen.t[:, None], seen.t[:, None]
    low = seen.t <= seen.t.median()
    halves = [low, ~low] if bool((~low).any()) else [low]

    def is_it(power: float) -> bool:
        return all(abs(float((seen.noise / level**power)[half].std()) - 1) < _ALIKE for half in halves)

    if is_it(1.0):
        kurtosis = float(((z - z.mean(0)) / z.std(0)).pow(4).mean()) - 3
        uniform = ", as of a uniform number" if abs(kurtosis + 1.2) < 0.1 else ""
        told = f"the noise is not normal: its excess kurtosis is {kurtosis:.2f}{uniform}, and 0 is right"
        return told if abs(kurtosis) > _HEAVY else ""
    if is_it(2.0):
        also = close(seen.target_noise, -seen.noise / level**4)
        beside = ", and so it is in the target: all is that of another level" if also else ", but not in the target"
        return f"sigma squared for sigma: the noise has the standard deviation sigma^2{beside}"
    if is_it(0.5):
        return "the noise has the variance sigma, where that is its standard deviation: a covariance is sigma^2 I"
    found = [float(z[half].std()) for half in halves]
    if len(found) == 1 or abs(found[0] / found[1] - 1) < _ALIKE:
        return f"the noise has {found[0]:.3g} times its standard deviation, sigma"
    same = [float(seen.noise[half].std()) for half in halves]
    if abs(same[0] / same[1] - 1) < _ALIKE:
        return f"the noise has the standard deviation {same[0]:.3g} whatever the level that the score is told"
    return f"the noise has {found[0]:.3g} and {found[1]:.3g} times its standard deviation, at low and at high levels"


def _of_target(seen: Seen) -> str:
    """What is wrong with the target A x + B of points that are right, but for a factor of the noise in it."""
    data, noise, variance = seen.target_data, seen.target_noise, seen.t[:, None] ** 2
    none, one, own = torch.zeros_like(data), torch.ones_like(data), -seen.noise / variance
    over = -one / variance[:, 0]
    slips: list[tuple[str, Callable[[], bool]]] = [
        (
            "z in the target is another draw than in the point",
            lambda: close(data, none) and unrelated(noise, own),
        ),
        (
            "the target is x: the loss learns the clean point D(y), whose score is (D(y) - y)/sigma^2; say so by "
            "network_of=lambda s: lambda y: y + sigma**2 * s(y)",
            lambda: close(data, one) and close(noise, 0 * noise),
        ),
        (
            "the target is -x/sigma^2, of the data where their noise y - x is meant",
            lambda: close(data, over) and close(noise, 0 * noise),
        ),
        (
            "the target is -y/sigma^2, the score of the noise about 0: it is about x, and (x - y)/sigma^2 is meant",
            lambda: close(data, over) and close(noise, own),
        ),
    ]  # fmt: skip
    return next((words for words, holds in slips if holds()), "")


def _of_a_divergence(losses: Losses, truth: Truth, x: Tensor) -> str:
    """How often an implicit loss counts each derivative: its slope along f is c s . f + sum_ij c_ij d f_i / d x_j.

    Found by least squares along three fields, and believed if it foretells the slope along s* itself.
    """
    s = truth.density.score(x)

    def slope_and_terms(name: str) -> tuple[Tensor, Tensor]:
        f, df = value_and_jacobian(at(truth.direction(name), 0.0), x)
        ahead, behind = (losses(_about(truth, truth.direction(name), h), x) for h in (1.0, -1.0))
        return 0.5 * (ahead - behind), torch.cat([(s * f).sum(-1, keepdim=True), df.flatten(1)], -1)

    slopes, terms = (torch.cat(parts) for parts in zip(*map(slope_and_terms, (FIRST, SECOND, SWIRL)), strict=True))
    counts = torch.linalg.lstsq(terms, slopes[:, None]).solution[:, 0]
    slope, of_truth = slope_and_terms(TRUTH)
    excess = slope - of_truth @ counts
    if not counts[0] > 0 or estimate(excess, excess.new_empty(len(excess), 0)).is_off(0.0, _SURE):
        return ""
    c11, c12, c21, c22 = (counts[1:] / counts[0]).tolist()
    if max(abs(c11 - c22), abs(c12 + c21)) < _COUNTS * max(abs(c11), abs(c22), 1.0):
        return ""
    first, second, mixed = _round(torch.tensor([c11, c22, 0.5 * (c12 + c21)], device="cpu"))
    return (
        f"beside 1/2 |s|^2, d s_1/d x_1 counts {first:g} times, d s_2/d x_2 {second:g} times and the mixed derivatives "
        f"{mixed:g} times: it is not the divergence (directions must have E v v^T = I)"
    )


def _of_a_field(once: Asked, truth: Truth, x: Tensor) -> str:
    """What a target is that is not linear in the data."""
    y, level, u = once.points, once.t, once.target
    far = x.abs() > _FAR
    if close((u * x.square())[far], (x - y)[far]):
        return "the target is divided by the square of the data, x^2, where sigma^2 is meant"
    p = truth.density
    if isinstance(p, GaussianMixture) and bool((level > 0).all()):
        points = GaussianMixture(p.weights, p.means, _POINT * torch.eye(2, dtype=x.dtype, device=x.device))
        if close(u, points.score(y, level)):
            return (
                "the target is the score of a mixture whose variances are replaced by sigma^2, where noise adds "
                "sigma^2 to them"
            )
    return ""


def _round(values: Tensor) -> list[float]:
    return [round(value, 2) + 0.0 for value in values.tolist()]  # not -0
