"""Known slips of a flow-matching loss, by what it does with its points (module ``seen``)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.paths import Interpolant, Linear, Path, cosine
from toylab.testing.seen import Seen, close, look_at, unrelated
from toylab.testing.truth import Losses
from toylab.testing.velocity_truth import VelocityTruth

_KNOWN: dict[str, Path] = {"Linear()": Linear(), "cosine()": cosine()}
_UNEVEN = 0.02  # from the uniform law: as much among 20,000 times of one has a probability of 2e-7
_ALIKE = 0.03  # of standard deviations of 10,000 points, known to half a percent
_INSIDE = 0.02  # of the ends of time, where what is left of the source or of the data is divided by nearly 0


@dataclass(frozen=True, eq=False)
class SeenAlong(Seen):
    """What a loss did with the points of a batch, and the path along which it should have."""

    path: Path


def look_along(losses: Losses, truth: VelocityTruth, x: Tensor) -> SeenAlong | None:
    """What the loss did with x [n, 2], or None if it does not have the usual form, in which x_0 is all the noise."""
    if isinstance(truth.path, Interpolant) or (seen := look_at(losses, x)) is None:
        return None
    return SeenAlong(**vars(seen), path=truth.path)


def explain_velocity(seen: SeenAlong) -> str:
    """The slip in words; empty if it is not a known one."""
    path = seen.path
    inside = (seen.t > _INSIDE) & (seen.t < 1 - _INSIDE) & (seen.weight > 0)
    if int(inside.sum()) < 100:
        return ""
    t, a, b = seen.t[inside], seen.data[inside], seen.noise[inside]
    u_data, u_noise = seen.target_data[inside], seen.target_noise[inside]
    here, mirrored = _Shares(path, t), _Shares(path, 1 - t)
    if close(a, here.data):
        shares, points = here, _explain_source(t, b, here.noise, path)
    elif close(a, mirrored.data):
        shares, points = mirrored, "time is measured from the data in x_t, where t = 0 is the source and t = 1 the data"
    else:
        others = [name for name, other in _KNOWN.items() if close(a, _Shares(other, t).data)]
        both = [name for name in others if close(u_data, _Shares(_KNOWN[name], t).data_rate)]
        if both:
            return f"x_t and its target are those of {both[0]}, which is another path"
        if others:
            return f"x_t is that of {others[0]}, which is another path than that of the target"
        return "x_t is not that of the path: it holds another share of x_1"
    x0 = b / shares.noise[:, None]
    target = _explain_target(shares, x0, a, b, u_data, u_noise, t)
    if shares is mirrored and target == _REVERSED:
        return (
            "the path runs from the data to the source; if that is meant, say so by "
            "network_of=lambda v: lambda x, t: -v(x, 1 - t)"
        )
    return "; ".join(words for words in (points, target) if words)


class _Shares:
    """x_t = data x_1 + noise x_0 and its derivative, on a path that is linear in both, each of shape [n]."""

    def __init__(self, path: Path, t: Tensor) -> None:
        zero, one = (
            torch.zeros(len(t), 2, dtype=t.dtype, device=t.device),
            torch.ones(len(t), 2, dtype=t.dtype, device=t.device),
        )
        self.data, self.noise = path.point(zero, one, t)[:, 0], path.point(one, zero, t)[:, 0]
        self.data_rate, self.noise_rate = path.derivative(zero, one, t)[:, 0], path.derivative(one, zero, t)[:, 0]


def _explain_source(t: Tensor, b: Tensor, noise: Tensor, path: Path) -> str:
    """What is wrong with the law of x_0, if b = noise x_0; found in the earlier and in the later half of the times."""
    expected = _std(
        path.start(torch.zeros(100_000, 2, dtype=b.dtype, device=b.device), torch.Generator().manual_seed(0))
    )
    halves = (t < t.median(), t >= t.median())
    plain, rooted = (
        [_std(b[half] / shares[half]) for half in halves] for shares in (noise[:, None], noise[:, None] ** 0.5)
    )
    if _alike(plain, expected):
        return ""
    if _alike(rooted, expected):
        return (
            "the noise in x_t has the variance sigma(t), where that is its standard deviation: a covariance is "
            "sigma(t)^2 I"
        )
    if not _alike(plain, plain[0]):
        ratios = " and ".join(f"{found / expected:.3g}" for found in plain)
        return f"the noise in x_t has {ratios} times its standard deviation, in the earlier and later half of time"
    words = f"x_0 has a standard deviation of {plain[0]:.3g} where {expected:.3g} is right"
    rooted_too = _alike(plain, expected**0.5)
    return f"{words}: the root of it, as of a standard deviation passed as a covariance" if rooted_too else words


def _alike(values: list[float], expected: float) -> bool:
    return all(abs(value / expected - 1) < _ALIKE for value in values)


_REVERSED = "the target is reversed in time: x_0 - x_1 where x_1 - x_0 is meant"


def _explain_target(here: _Shares, x0: Tensor, a: Tensor, b: Tensor, data: Tensor, noise: Tensor, t: Tensor) -> str:
    """What is wrong with the target data x_1 + noise; empty if nothing is, or nothing that is known."""
    rate, noise_rate = here.data_rate, here.noise_rate[:, None] * x0
    one, zero = torch.ones_like(data), torch.zeros_like(data)

    def it_is(shares: Tensor, rest: Tensor) -> bool:
        return close(data, shares) and close(noise, rest)

    slips: list[tuple[str, Callable[[], bool]]] = [
        ("", lambda: it_is(rate, noise_rate)),
        (_REVERSED, lambda: it_is(-rate, -noise_rate)),
        ("the target is x_1: the loss learns the clean point", lambda: it_is(one, 0 * b)),
        ("the target is x_0: the loss learns the noise", lambda: it_is(zero, x0)),
        ("the target is -x_0: the loss learns the noise, with the wrong sign", lambda: it_is(zero, -x0)),
        ("the target has no part in the loss", lambda: it_is(zero, 0 * b)),
        ("x_0 is left out of the target", lambda: it_is(rate, 0 * b)),
        ("x_1 is left out of the target", lambda: it_is(zero, noise_rate)),
        ("the sign of x_0 in the target", lambda: it_is(rate, -noise_rate)),
        ("the sign of x_1 in the target", lambda: it_is(-rate, noise_rate)),
        ("the target is x_1 - x_t, which is still to be divided by 1 - t", lambda: it_is(1 - a, -b)),
        (
            "x_0 in the target is another draw than in x_t",
            lambda: close(data, rate) and unrelated(noise, noise_rate),
        ),
    ]
    for words, holds in slips:
        if holds():
            return words
    added = noise - noise_rate
    if it_is(rate, noise_rate + added.mean(0)):
        return f"a constant is added to the target, {[round(part, 3) for part in added.mean(0).tolist()]}"
    factor = float((data * rate).sum() / rate.square().sum())
    if it_is(factor * rate, factor * noise_rate):
        return f"the target is {factor:.4g} times dx_t/dt"
    for name, other in _KNOWN.items():
        shares = _Shares(other, t)
        if it_is(shares.data_rate, shares.noise_rate[:, None] * x0):
            return f"the target is that of {name}, which is another path than that of x_t"
    return ""


def start_of(seen: SeenAlong) -> Tensor:
    """x_0 of each point inside of the ends of time, as x_t tells it, shape [m, 2]."""
    inside = (seen.t > _INSIDE) & (seen.t < 1 - _INSIDE)
    return seen.noise[inside] / _Shares(seen.path, seen.t[inside]).noise[:, None]


def explain_weight(seen: SeenAlong, truth: VelocityTruth) -> str:
    """What multiplies the squared error, over what should; empty if it is not known."""
    ratio = seen.weight / truth.weights(seen.t)
    counts = ratio > 0
    if not bool(counts.all()):
        low, high = float(seen.t[counts].min()), float(seen.t[counts].max())
        return f"the loss counts only where t is from {low:.3g} to {high:.3g}"
    factor = float(ratio.median())
    if close(ratio, torch.full_like(ratio, factor)):
        if abs(factor - 1) > 0.01:
            return _explain_factor(factor)
        ranks = (torch.arange(len(seen.t), dtype=seen.t.dtype, device=seen.t.device) + 0.5) / len(seen.t)
        uneven = float((seen.t.sort().values - ranks).abs().max()) > _UNEVEN
        return "times are not drawn uniformly; if that is meant, say so by weight=, the density of t" if uneven else ""
    here, t = _Shares(seen.path, seen.t), seen.t
    change = here.data_rate * here.noise - here.noise_rate * here.data
    weights = {
        "that of a prediction of the clean point, (1 - t)^2 on the linear path": (here.noise / change) ** 2,
        "that of a prediction of the noise, t^2 on the linear path": (here.data / change) ** 2,
        "1 - t": 1 - t,
        "t": t,
        "1/(1 - t)": 1 / (1 - t),
        "1/(1 - t)^2": (1 - t) ** -2,
    }
    found = [words for words, weight in weights.items() if close(ratio, weight)]
    return f"a weight, {found[0]}; say so by weight=" if found else ""


def _explain_factor(ratio: float) -> str:
    """The usual suspects for a loss that is ``ratio`` times too large."""
    if abs(ratio / 2 - 1) < 0.03:
        return "the 1/2 is missing (a sum over the coordinates where their mean is meant)"
    if abs(ratio / 0.5 - 1) < 0.03:
        return "there is a 1/2 too many (beside a mean over the coordinates)"
    return "a constant factor; say so by weight=, or take it out"


def _std(x: Tensor) -> float:
    """Of a coordinate, over both."""
    return float((x - x.mean(0)).square().mean().sqrt())
