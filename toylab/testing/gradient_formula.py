"""What the formula of a loss of a model must be: its gradient vanishes at the truth, and it rises from there."""

import math
from collections.abc import Callable
from typing import Any

from toylab.testing.formula import MORE, percent
from toylab.testing.gradient_evidence import GradientEvidence
from toylab.testing.report import Finding

_ALIKE = 0.01  # curvatures of a loss that draws nothing, found by central differences
_FLAT = 0.1  # of the curvature of the truth's measure: so much less is a reason why nothing could be told
_FURTHER = "or let chains go further, by more steps or larger ones"


def check_vanishing(found: GradientEvidence[Any], explain: Callable[[], str]) -> Finding:
    """The mean gradient at the truth must be 0 along every direction."""
    name, off, truth = "minimiser", found.off(), found.truth
    if off:
        why = explain() or f"it learns another law (slope where there must be none: {', '.join(off)})"
        return Finding(name, False, f"the gradient does not vanish at {truth.name}: {why}")
    visible = found.visible()
    worst, seen = max(visible.values(), default=0.0), truth.told(visible)
    if any(slip > truth.goal(d) * 1.02 for d, slip in visible.items()):
        told = f"could not tell below {percent(worst)}: {seen}. {_why_flat(found)}{MORE}, {_FURTHER}"
        n = float(f"{found.needed(math.nan) * found.n:.1g}")
        return Finding(name, False, f"{told}; as it is, about {n:,.0f} points would do", worst, True)
    return Finding(name, True, f"{truth.name}, in all {len(truth.directions)} directions tried; {seen}", worst)


def check_rise(found: GradientEvidence[Any], explain: Callable[[], str]) -> Finding:
    """The gradient must lead back to the truth in every direction, be it slower than that of likelihood."""
    name, z = "rise", found.z_of_curvature
    if found.off() or not found.curved:
        return Finding(name, True, "not examined, as the gradient does not vanish at the truth")
    curvatures, free = found.curvatures(), found.free()
    falls = [d for d, part in curvatures.items() if d not in free and part.mean < -z * part.error]
    level = [d for d in free if found.truth.variances[d] > 0]
    if falls or level:
        words = f"falls from the truth along {', '.join(falls)}" if falls else f"does not know {', '.join(level)}"
        why = explain()
        return Finding(name, False, f"the loss {words}{': ' if why else ''}{why}")
    unsure = [d for d, part in curvatures.items() if d not in free and not part.mean > z * part.error]
    if unsure:
        told = f"could not tell: whether the loss rises along {', '.join(unsure)}. {MORE}, {_FURTHER}"
        return Finding(name, False, told, undecided=True)
    ratios = {d: part.mean for d, part in found.ratios().items()}
    low, high = min(ratios.values()), max(ratios.values())
    if high - low <= _ALIKE * high:
        times = "as" if abs(high - 1) <= _ALIKE else f"{0.5 * (low + high):.3g} times as steeply as"
        return Finding(
            name, True, f"the loss rises from the truth {times} {found.truth.measure} does, in all directions"
        )
    steep, flat_one = max(ratios, key=lambda d: ratios[d]), min(ratios, key=lambda d: ratios[d])
    return Finding(
        name,
        True,
        f"the slope of the loss about the truth is {low:.2g} (along {flat_one}) to {high:.2g} (along {steep}) of that "
        f"of {found.truth.measure}",
    )


def _why_flat(found: GradientEvidence[Any]) -> str:
    """A sentence on a gradient that is far less than that of likelihood, as with chains of a few small steps."""
    ratios = [part.mean for part in found.ratios().values()] if found.curved else []
    if not ratios or max(ratios) > _FLAT:
        return ""
    return (
        f"The gradient about the truth is only {min(ratios):.1g} to {max(ratios):.1g} of that of "
        f"{found.truth.measure}, as where chains hardly leave the data, and so does not stand out from its noise. "
    )
