"""What the formula of a loss must be: least at the true score, of the right scale, with the right constant."""

import math
from collections.abc import Callable

from toylab.testing.estimate import SEEN, Estimate, best
from toylab.testing.evidence import CONSTANT, MULTIPLE, OTHER, OTHER_AT_A_LEVEL, Evidence
from toylab.testing.report import Finding
from toylab.testing.slips import explain_factor, explain_minimiser
from toylab.testing.truth import DIRECTIONS, FIRST, SECOND, TRUTH, UNEVEN

_KNOWN = 0.05  # error of a multiple of s* that is told, though it is no usual one
MORE = "Allow more points with n_most=, or take the noise out of the loss (antithetic, control variate)"


def check_minimiser(found: Evidence, explain: Callable[[], str]) -> Finding:
    """The slope at the truth must be 0 in every direction.

    If it is not, ``explain`` says what is wrong, or the minimiser along s* does.
    """
    name, truth, z = "minimiser", found.truth, found.z
    slopes = {direction: found.slopes(direction) for direction in DIRECTIONS}
    off = {d: [k for k, slope in enumerate(slopes[d]) if slope.n and slope.is_off(0.0, z)] for d in DIRECTIONS}
    bad = sorted({k for chosen in off.values() for k in chosen})
    if not bad:
        of_all = {d: best(slopes[d]) for d in DIRECTIONS}
        off_together = [d for d in DIRECTIONS if of_all[d].is_off(0.0, z)]
        shifted = [k for j in (0, 1) for k, part in enumerate(found.constants(j)) if part.n and part.is_off(0.0, z)]
        if shifted:
            return Finding(
                name,
                False,
                f"{truth.named(sorted(set(shifted)))}a constant is added to the target, or the noise does not have "
                "mean 0: the slope along a constant field is not 0",
            )
        if not off_together:
            constant = max(part.visible(z) for j in (0, 1) for part in found.constants(j))
            of = "its noise" if truth.least > 0 else "|s*|"
            words = f"the true score, in all five directions and with a constant (to {percent(constant)} of {of}) tried"
            return _no_slip(found, {d: found.pulls(d) for d in DIRECTIONS}, name, words, "the target")
        curvature = found.overall_scale(TRUTH)
        a = 1 - of_all[TRUTH].mean / curvature.mean if curvature.mean > 0 else math.nan
        return Finding(
            name,
            False,
            f"over all levels together the loss is not least at the true score (nearest multiple of s: {a:.3f}; slope "
            f"where there must be none: {', '.join(off_together)})",
            max(of_all[d].visible(z) for d in DIRECTIONS),
        )
    where = truth.named(bad)
    # explained where the multiple of s* is known best
    k = min(bad, key=lambda k: slopes[TRUTH][k].error / max(abs(found.curvatures(TRUTH)[k].mean), 1e-9))
    curvature, slope, level = found.curvatures(TRUTH)[k], slopes[TRUTH][k], truth.groups[k]
    if curvature.mean <= z * curvature.error + 1e-9:
        return Finding(name, False, f"{where}the loss falls without bound as the field grows: sign of the |s|^2 term")
    if words := explain():
        return Finding(name, False, f"{where}the loss is not least at the true score: {words}")
    a = 1 - slope.mean / curvature.mean
    tolerance = max(z * math.hypot(slope.error, (a - 1) * curvature.error) / curvature.mean, 0.02)
    why = explain_minimiser(a, tolerance, level.low if level.low == level.high else None)
    slack = tolerance * max(curvature.mean, 1.0)  # a is known that well, and the slope along f changes with it
    multiple = all(abs(part.mean) <= z * part.error + slack for part in found.slopes_about(a, k))
    if multiple and why:
        return Finding(name, False, f"{where}converges to {why}")
    small = abs(a - 1) < 0.1 and not any(off[d] for d in DIRECTIONS if d not in (TRUTH, UNEVEN))
    if multiple and (small or tolerance < _KNOWN):
        return Finding(
            name,
            False,
            f"{where}converges to {a:.3f} s: noise that is not standard normal (clipped, or scaled), or a factor in "
            "the target",
        )
    directions = [d for d in DIRECTIONS if off[d]]
    return Finding(
        name,
        False,
        f"{where}the loss is not least at the true score, nor at a multiple of it that is a known slip: its target is "
        f"another field (nearest multiple of s: {a:.2f}; slope where there must be none: {', '.join(directions)})",
    )


def check_scale(found: Evidence, explain: Callable[[], str]) -> Finding:
    """The curvature must be the mean of weight 1/2 |f|^2 in every direction; ``explain`` says why not, or ratios do."""
    name, truth, z = "scale", found.truth, found.z
    scales = {direction: found.scales(direction) for direction in DIRECTIONS}
    shares, curvatures = found.shares(), {direction: found.curvatures(direction) for direction in DIRECTIONS}
    never = [k for k, share in enumerate(shares) if share.n == 0 and share.is_off(1.0, z)]
    if never:
        return Finding(name, False, f"{truth.named(never)}the loss never asks for the score there")
    bad = sorted({k for d in DIRECTIONS for k, scale in enumerate(scales[d]) if scale.is_off(1.0, z)})
    overall = {direction: found.overall_scale(direction) for direction in DIRECTIONS}
    off_together = [d for d in DIRECTIONS if overall[d].is_off(1.0, z) and not found.uneven]
    if not bad and not off_together:
        return _no_slip(found, scales, name, "rises from the truth as w 1/2 |s - s*|^2", "the scale")
    if not bad:
        listed = ", ".join(f"{overall[d].mean:.3f} along {d}" for d in off_together)
        return Finding(name, False, f"over all levels together the loss is {listed} times w 1/2 |s - s*|^2")
    where = truth.named(bad)
    if all(not curvatures[d][k].is_off(1.0, z) for d in DIRECTIONS for k in bad):
        listed = ", ".join(f"{shares[k].mean:.2f}" for k in bad[:5])
        return Finding(name, False, f"{where}these levels come up {listed} times as often as sigma says")
    if words := explain():
        return Finding(name, False, f"{where}the loss does not rise as w 1/2 |s - s*|^2: {words}")
    k = min(bad, key=lambda k: curvatures[TRUTH][k].error)
    ratios = {d: curvatures[d][k].mean for d in DIRECTIONS}
    for direction, words in ((FIRST, "first"), (SECOND, "second")):
        if abs(ratios[direction]) < 0.02 * max(map(abs, ratios.values())):
            return Finding(
                name,
                False,
                f"{where}the loss does not see the {words} coordinate of the field: directions must have E v v^T = I, "
                "drawn anew for each point",
            )
    low, high = min(ratios.values()), max(ratios.values())
    if high - low < 0.05 * abs(high) + z * max(curvatures[d][k].error for d in DIRECTIONS):
        ratio, group = ratios[TRUTH], truth.groups[k]
        why = explain_factor(ratio, group.low if group.low == group.high else None)
        return Finding(
            name, False, f"{where}is {ratio:{'.2g' if abs(ratio - 1) > 0.1 else '.4g'}} times w 1/2 |s - s*|^2: {why}"
        )
    listed = ", ".join(f"{ratio:.2f} along {direction}" for direction, ratio in ratios.items())
    return Finding(
        name,
        False,
        f"{where}the loss does not rise as w 1/2 |s - s*|^2 but by other multiples in different directions ({listed}): "
        "the field is taken at points of another law, as with another noise scale, or is not squared as |s|^2",
    )


def check_constant(
    offset: float | None, mean: Estimate, z: float, tolerance: float, noise_slip: float = 0.0, of: str = "density"
) -> Finding:
    """Mean loss + offset must be 0 at the truth, to ``z`` standard errors and the tolerance.

    Where the loss of the field 0 is the noise that denoising has at every level, lambda / sigma^2 on average, that
    noise is taken away; each level's was then tested for itself, to ``noise_slip``, and counts in what could be told.
    """
    name = "constant"
    if offset is None:
        return Finding(name, True, f"not checked: the loss has no offset({of}); {-mean.mean:.4g} by Monte Carlo")
    size = max(abs(offset), abs(mean.mean))
    slip = ((z + SEEN) * mean.error / size if size > 0 else 0.0) + noise_slip
    if not abs(mean.mean + offset) <= z * mean.error + tolerance:
        return Finding(
            name,
            False,
            f"offset({of}) is {offset:.4g}, and mean loss + offset = 0 at the truth needs {-mean.mean:.4g}",
            slip,
        )
    message = f"mean loss + offset is 0 at the truth (offset {offset:.4g}; {percent(slip)} of it would have been seen)"
    if slip > 1.02 * CONSTANT:
        return Finding(name, False, f"could not tell below {percent(slip)}: {message}. {MORE}", slip, True)
    return Finding(name, True, message, slip)


def _no_slip(found: Evidence, parts: dict[str, list[Estimate]], name: str, words: str, of: str) -> Finding:
    """A pass that says what it would have seen, or that this is too little."""
    z, several = found.z, len(found.truth.groups) > 1
    multiple = max(part.visible(z) for part in parts[TRUTH])
    other = max(part.visible(z) for d in DIRECTIONS[1:] for part in parts[d])
    worst = max(range(len(found.truth.groups)), key=lambda k: parts[TRUTH][k].visible(z))
    at = f" (least at {found.truth.groups[worst].name})" if several else ""
    seen = f"a slip of {percent(multiple)} in {of} would have been seen{at}, along another field {percent(other)}"
    if multiple > MULTIPLE * 1.02 or other > (OTHER_AT_A_LEVEL if several else OTHER) * 1.02:
        told = f"could not tell below {percent(max(multiple, other))}: {seen}. {MORE}"
        return Finding(name, False, told, multiple, True)
    return Finding(name, True, f"{words}; {seen}", multiple)


def percent(slip: float) -> str:
    """A slip as it is told."""
    return f"{100 * slip:.2g} %"
