"""Known slips in a loss of a function of cells, by the table that it learns in place of the concrete score."""

from toylab.testing.estimate import EXACT
from toylab.testing.gradient_evidence import GradientEvidence, vanishes
from toylab.testing.grid_truth import GridTruth


def explain_cells(found: GradientEvidence[GridTruth], draws: bool) -> str:
    """The slip in words; empty if it is not a known one."""
    off, truth = found.off(), found.truth
    if not off:
        return "the sign of c^2, or of the whole"
    if found.curved and not any(part.mean for part in found.curvatures().values()):
        return "nothing stands against its linear terms: c_i(x)^2 is left out"
    slack = [EXACT * variance for variance in truth.variances.values() if variance > 0]
    for words, table in truth.slips.items():
        slopes = found.slopes_at(table - truth.score)
        if vanishes([part for part, there in zip(slopes, truth.there, strict=True) if there], slack):
            return f"it learns {words}"
    beyond = {name for name, there in zip(truth.directions, truth.there, strict=True) if not there}
    if beyond & set(off):
        return "neighbours that are not there have a part in it: leave out those beyond the edge"
    return ""
