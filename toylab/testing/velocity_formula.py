"""What the formula of a flow-matching loss must be: least at the exact velocity, of the right scale, at all times."""

import torch
from torch import Tensor

from toylab.testing.estimate import Estimate
from toylab.testing.field_evidence import FieldEvidence
from toylab.testing.formula import MORE, percent
from toylab.testing.report import Finding
from toylab.testing.seen import calls_of
from toylab.testing.shared_draws import shared
from toylab.testing.truth import Losses, in_words
from toylab.testing.velocity_slips import SeenAlong, explain_velocity, explain_weight, start_of
from toylab.testing.velocity_truth import VELOCITY, VelocityTruth

_GAP = 2e-3  # of the weight, at an end of time: as much as 1e-3, which some texts leave out, and the spacing of times


def check_times(losses: Losses, other: Losses, truth: VelocityTruth, x: Tensor, seen: SeenAlong | None) -> Finding:
    """The loss asks for the velocity at all times, from 0 to 1, drawn anew for each point.

    Of 20,000 times of a right loss the largest is below 0.998 with a probability of 4e-18.

    Args:
        losses: with some random numbers.
        other: with others.
        truth: what the loss should be.
        x: points, shape [n, 2].
        seen: what the loss did with them, if that is known.
    """
    name = "times"
    t = torch.cat(
        [torch.zeros(0, dtype=x.dtype, device=x.device), *(time.flatten().to(x) for _, time in calls_of(losses, x))]
    )
    if len(t) == 0:
        return Finding(name, False, "the loss never asks for the velocity")
    if bool((t == t[0]).all()):
        again = torch.cat([time.flatten() for _, time in calls_of(other, x)])
        if bool((again == t[0]).all()):
            return Finding(name, False, f"the loss asks for the velocity at t = {float(t[0]):.4g} alone")
        return shared(name, "one time serves", "torch.rand(len(x), generator=generator)")
    if seen is not None:
        t = seen.t[seen.weight > 0]
    low, high = float(t.min()), float(t.max())
    below, above = _share(truth, 0.0, low), _share(truth, high, 1.0)
    if below > _GAP or above > _GAP:
        parts = [words for share, words in ((below, f"t < {low:.3g}"), (above, f"t > {high:.3g}")) if share > _GAP]
        return Finding(
            name,
            False,
            f"the loss never sees {' nor '.join(parts)}: draw t from all of [0, 1), and scale it for the network alone",
        )
    return Finding(name, True, "from all of [0, 1]: 0.2 % left out at an end would have been seen")


def check_source(seen: SeenAlong) -> Finding:
    """x_0 is drawn anew for each point."""
    x0 = start_of(seen)
    if len(x0) > 1 and bool((x0 - x0[0]).abs().max() < 1e-6 * (1 + x0.abs().max())):
        return shared("source", "one x_0 serves", "torch.randn(x.shape, generator=generator)")
    return Finding("source", True, "x_0 is drawn for each point")


def _share(truth: VelocityTruth, low: float, high: float) -> float:
    """Of the integral of the weight over time, that from low to high."""
    t = (torch.arange(10_000, dtype=torch.float64, device="cpu") + 0.5) / 10_000
    part = truth.weights(low + (high - low) * t).mean() * (high - low)
    return float(part / truth.weights(t).mean())


def check_velocity(found: FieldEvidence[VelocityTruth], seen: SeenAlong | None) -> Finding:
    """The slope at the exact velocity must be 0 in every direction, and at every stretch of time."""
    name, z, slopes = "minimiser", found.z, found.slopes()
    off = [d for d, slope in slopes.items() if slope.is_off(0.0, z)]
    if not off:
        return _no_slip(found, slopes, name, "the exact velocity, at all times and in seven directions", "the target")
    where, curvature = _where(found, off), found.scales()[VELOCITY]
    if curvature.mean <= z * curvature.error + 1e-9:
        return Finding(name, False, f"{where}the loss falls without bound as the field grows: sign of the |v|^2 term")
    why = "" if seen is None else explain_velocity(seen)
    if why:
        return Finding(name, False, f"{where}the loss is not least at the exact velocity: {why}")
    a = 1 - slopes[VELOCITY].mean / curvature.mean
    return Finding(
        name,
        False,
        f"{where}the loss is not least at the exact velocity: its target is another field (nearest multiple of v: "
        f"{a:.2f}; slope where there must be none: {'; '.join(off)})",
    )


def check_velocity_scale(found: FieldEvidence[VelocityTruth], seen: SeenAlong | None) -> Finding:
    """The curvature must be the mean of w 1/2 |f|^2 over the path, in every direction and at every stretch of time."""
    name, z, scales = "scale", found.z, found.scales()
    off = [d for d, scale in scales.items() if scale.is_off(1.0, z)]
    if not off:
        return _no_slip(found, scales, name, "rises from the truth as w 1/2 |v - v*|^2", "the scale")
    where, why = _where(found, off), "" if seen is None else explain_weight(seen, found.truth)
    if why:
        return Finding(name, False, f"{where}is {scales[VELOCITY].mean:.3g} times w 1/2 |v - v*|^2: {why}")
    listed = "; ".join(f"{scales[d].mean:.2f} along {d}" for d in off[:4])
    return Finding(
        name,
        False,
        f"{where}the loss does not rise as w 1/2 |v - v*|^2 but by other multiples in different directions ({listed}): "
        "the velocity is taken at points of another law or at other times, or is not squared as |v|^2",
    )


def _where(found: FieldEvidence[VelocityTruth], off: list[str]) -> str:
    names = found.truth.names
    return in_words(names, [k for k, name in enumerate(names) if f"{VELOCITY}, {name}" in off], "time")


def _no_slip(
    found: FieldEvidence[VelocityTruth], parts: dict[str, Estimate], name: str, words: str, of: str
) -> Finding:
    """A pass that says what it would have seen, or that this is too little."""
    visible = {d: part.visible(found.z) for d, part in parts.items()}
    other = max(slip for d, slip in visible.items() if d != VELOCITY)
    seen = (
        f"a slip of {percent(visible[VELOCITY])} in {of} would have been seen, in one of {len(found.truth.names)} "
        f"stretches of time, or along another field, {percent(other)}"
    )
    if any(slip > found.goal(d) * 1.02 for d, slip in visible.items()):
        told = f"could not tell below {percent(max(visible.values()))}: {seen}. {MORE}"
        return Finding(name, False, told, visible[VELOCITY], True)
    return Finding(name, True, f"{words}; {seen}", visible[VELOCITY])
