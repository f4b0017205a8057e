"""What the formula of a loss of an energy must be: its gradient vanishes at -log p, and it rises from there."""

from collections.abc import Callable

from toylab.testing.energy_evidence import EnergyEvidence
from toylab.testing.energy_truth import CONSTANT, LOG_P
from toylab.testing.estimate import EXACT
from toylab.testing.formula import MORE, check_constant, percent
from toylab.testing.report import Finding

_ALIKE = 0.01  # curvatures of a loss that draws nothing, found by central differences


def check_energy_minimiser(found: EnergyEvidence, explain: Callable[[], str]) -> Finding:
    """The mean gradient at E = -log p must be 0 along every direction."""
    name, off = "minimiser", found.off()
    if off:
        why = explain() or f"it learns another law (slope where there must be none: {', '.join(off)})"
        return Finding(name, False, f"the gradient does not vanish at E = -log p: {why}")
    visible, free = found.visible(), found.free()
    other = max((slip for d, slip in visible.items() if d != LOG_P), default=0.0)
    multiple = visible.get(LOG_P, 0.0)
    seen = (
        f"a multiple of log p that is {percent(multiple)} off would have been seen, and {other:.2g} along another "
        f"function of variance 1{'; the constant of E is free' if CONSTANT in free else ''}"
    )
    if any(slip > found.goal(d) * 1.02 for d, slip in visible.items()):
        worst = max(visible.values())
        told = f"could not tell below {percent(worst)}: {seen}. {MORE}, or let chains go further"
        return Finding(name, False, told, worst, True)
    return Finding(
        name, True, f"E = -log p, along all five directions tried; {seen}", max(visible.values(), default=0.0)
    )


def check_rise(found: EnergyEvidence, explain: Callable[[], str]) -> Finding:
    """The gradient must lead back to the truth in every direction, be it slower than that of likelihood."""
    name, z = "rise", found.z_of_curvature
    if not found.curved:
        return Finding(name, True, "not examined, as the gradient does not vanish at the truth")
    curvatures, free = found.curvatures(), found.free()
    falls = [d for d, part in curvatures.items() if d not in free and part.mean < -z * part.error]
    level = [d for d in free if d != CONSTANT]
    if falls or level:
        words = f"falls from the truth along {', '.join(falls)}" if falls else f"does not know {', '.join(level)}"
        why = explain()
        return Finding(name, False, f"the loss {words}{': ' if why else ''}{why}")
    unsure = [d for d, part in curvatures.items() if d not in free and not part.mean > z * part.error]
    if unsure:
        told = f"could not tell: whether the loss rises along {', '.join(unsure)}. {MORE}, or let chains go further"
        return Finding(name, False, told, undecided=True)
    ratios = {d: part.mean for d, part in found.ratios().items()}
    low, high = min(ratios.values()), max(ratios.values())
    if high - low <= _ALIKE * high:
        times = "as" if abs(high - 1) <= _ALIKE else f"{0.5 * (low + high):.3g} times as steeply as"
        return Finding(name, True, f"the loss rises from the truth {times} -log p does, in all directions")
    steep, flat_one = max(ratios, key=lambda d: ratios[d]), min(ratios, key=lambda d: ratios[d])
    return Finding(
        name,
        True,
        f"the slope of the loss about the truth is {low:.2g} (along {flat_one}) to {high:.2g} (along {steep}) of that "
        "of the likelihood",
    )


def check_energy_constant(offset: float | None, found: EnergyEvidence) -> Finding:
    """Mean loss + offset must be 0 at the truth; of a likelihood without an offset it is told what its value is."""
    if offset is not None:
        return check_constant(offset, found.constant(), found.z, EXACT * max(abs(found.truth.entropy), 1.0))
    told, excess = "not checked: the loss has no offset(density)", found.losses_at_truth(less_log_p=True)
    middle = float(excess.mean())
    if float((excess - middle).abs().max()) <= EXACT:
        value = "-log p(x), whose mean is the entropy" if abs(middle) <= EXACT else f"-log p(x) + {middle:.4g}"
        told += f"; its value at the truth is {value}"
    return Finding("constant", True, told)
