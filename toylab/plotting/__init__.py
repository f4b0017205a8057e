"""Pictures, in matplotlib. Every function takes ``ax=None`` and returns the Axes it drew on."""

from toylab.plotting.error_decomposition import error_decomposition
from toylab.plotting.fields import density_map, error_heat_map, sample_histogram, score_field
from toylab.plotting.histories import loss_curve
from toylab.plotting.style import DENSITY_MAP, ERROR, ERROR_MAP, EXACT, GROUND_MAP, LEARNED, NEUTRAL, OTHER, look

__all__ = [
    "DENSITY_MAP",
    "ERROR",
    "ERROR_MAP",
    "EXACT",
    "GROUND_MAP",
    "LEARNED",
    "NEUTRAL",
    "OTHER",
    "density_map",
    "error_heat_map",
    "error_decomposition",
    "look",
    "loss_curve",
    "sample_histogram",
    "score_field",
]
