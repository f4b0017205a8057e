"""Known slips in a loss of spins, by the machine that it learns in place of the truth."""

import itertools

import torch
from scipy.optimize import brentq
from torch import Tensor

from toylab.testing.estimate import Estimate
from toylab.testing.gradient_evidence import GradientEvidence, vanishes
from toylab.testing.spin_truth import SpinTruth

_MULTIPLES = (1.0, 0.5, 2.0, -1.0, 0.25, 4.0, 0.0)  # of couplings and of fields, the usual ones first
_SLACK = 1e-3  # of a slope
_HINTS = {
    (0.5, 1.0): "each pair counts twice in the energy, which is -1/2 x^T W x - b^T x",
    (2.0, 1.0): "each pair counts half in the energy, which is -1/2 x^T W x - b^T x",
    (2.0, 2.0): "turning a spin over changes the energy by 2 x_i (W x + b)_i: the 2 is left out",
    (0.5, 0.5): "a factor of 2 too many, in the energy or in the log-odds 2 x_i (W x + b)_i",
    (-1.0, -1.0): "sign of the energy, or of the log-odds",
    (0.0, 0.0): "the data have no part in it",
}


def explain_spins(found: GradientEvidence[SpinTruth], draws: bool) -> str:
    """The slip in words; empty if it is not a known one."""
    if not found.off():
        return "the sign of the loss, or its two parts exchanged"
    if found.curved and not any(part.mean for part in found.curvatures().values()):
        return "nothing stands against the energies of the data: the normaliser is left out"
    for couplings, fields in itertools.product(_MULTIPLES, repeat=2):
        if _vanishes(_slopes(found, couplings, fields)):
            hint = _HINTS.get((couplings, fields), "")
            return f"it learns {couplings:g} W and {fields:g} b{': ' if hint else ''}{hint}"
    multiple = _multiple(found)
    if multiple is not None:
        return f"it learns {multiple:.3g} times the couplings and fields"
    if draws:
        return (
            f"it learns another machine (slope where there must be none: {', '.join(found.off())}): its chains keep "
            "another law, as where all spins are drawn at once, or do not start at the data"
        )
    return ""


def _slopes(found: GradientEvidence[SpinTruth], couplings: float, fields: float) -> list[Estimate]:
    """The mean gradient at multiples of the couplings and of the fields."""
    theta, n = found.truth.theta, found.truth.machine.n_spins
    return found.slopes_at(torch.cat([(couplings - 1) * theta[:-n], (fields - 1) * theta[-n:]]))


def _vanishes(slopes: list[Estimate]) -> bool:
    return vanishes(slopes, [_SLACK] * len(slopes))


def _multiple(found: GradientEvidence[SpinTruth]) -> float | None:
    """Of all parameters alike, at which the gradient vanishes, if there is one."""
    theta = found.truth.theta

    def along(multiple: float) -> float:
        means: Tensor = theta.new_tensor([part.mean for part in _slopes(found, multiple, multiple)])
        return float(means @ theta)

    low, high = 0.1, 4.0
    if along(low) * along(high) >= 0:
        return None
    at = float(brentq(along, low, high, xtol=1e-4))
    return at if _vanishes(_slopes(found, at, at)) else None
