"""What the formula of a loss must be whose error is taken at known points: least at s*, and of the right weight."""

from collections.abc import Callable
from typing import Any

from toylab.testing.estimate import Estimate
from toylab.testing.field_evidence import FieldEvidence
from toylab.testing.formula import MORE, percent
from toylab.testing.report import Finding
from toylab.testing.truth import TRUTH


def check_domain_minimiser(found: FieldEvidence[Any], explain: Callable[[], str]) -> Finding:
    """The slope at the exact score must be 0 in every direction."""
    name, z, slopes = "minimiser", found.z, found.slopes()
    off = [d for d, slope in slopes.items() if slope.is_off(0.0, z)]
    if not off:
        return _no_slip(found, slopes, name, f"{found.truth.least}, in all seven directions tried", "the target")
    curvature = found.scales()[TRUTH]
    if curvature.mean <= z * curvature.error + 1e-9:
        return Finding(name, False, "the loss falls without bound as the field grows: sign of the h |s|^2 term")
    a = 1 - slopes[TRUTH].mean / curvature.mean
    why = explain() or (
        f"its target is another field (nearest multiple of s: {a:.2f}; slope where there must be none: "
        f"{', '.join(off)})"
    )
    return Finding(name, False, f"the loss is not least at {found.truth.least}: {why}")


def check_domain_scale(found: FieldEvidence[Any], explain: Callable[[], str]) -> Finding:
    """The curvature must be the mean of 1/2 sum_i h_i f_i^2 in every direction."""
    name, scales = "scale", found.scales()
    off = [d for d, scale in scales.items() if scale.is_off(1.0, found.z)]
    if not off:
        return _no_slip(found, scales, name, f"rises from the truth as {found.truth.rises}", "the scale")
    return Finding(name, False, f"is {scales[TRUTH].mean:.3g} times {found.truth.rises}: {explain()}")


def _no_slip(found: FieldEvidence[Any], parts: dict[str, Estimate], name: str, words: str, of: str) -> Finding:
    """A pass that says what it would have seen, or that this is too little."""
    visible = {d: part.visible(found.z) for d, part in parts.items()}
    other = max(slip for d, slip in visible.items() if d != TRUTH)
    seen = f"a slip of {percent(visible[TRUTH])} in {of} would have been seen, along another field {percent(other)}"
    if any(slip > found.goal(d) * 1.02 for d, slip in visible.items()):
        told = f"could not tell below {percent(max(visible.values()))}: {seen}. {MORE}"
        return Finding(name, False, told, visible[TRUTH], True)
    return Finding(name, True, f"{words}; {seen}", visible[TRUTH])
