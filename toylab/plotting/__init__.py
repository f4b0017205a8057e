"""Pictures, in matplotlib. Every function takes ``ax=None`` and returns the Axes it drew on."""

from toylab.plotting.cloud import cloud
from toylab.plotting.curves import curves
from toylab.plotting.density_map import density_map
from toylab.plotting.error_decomposition import error_decomposition
from toylab.plotting.error_heat_map import error_heat_map
from toylab.plotting.heat_map import heat_map
from toylab.plotting.loss_curve import loss_curve
from toylab.plotting.sample_histogram import sample_histogram
from toylab.plotting.score_field import score_field
from toylab.plotting.style import DENSITY_MAP, ERROR, ERROR_MAP, EXACT, GROUND_MAP, LEARNED, NEUTRAL, OTHER, look
from toylab.plotting.trajectories import trajectories

__all__ = [
    "DENSITY_MAP",
    "ERROR",
    "ERROR_MAP",
    "EXACT",
    "GROUND_MAP",
    "LEARNED",
    "NEUTRAL",
    "OTHER",
    "cloud",
    "curves",
    "density_map",
    "error_decomposition",
    "error_heat_map",
    "heat_map",
    "look",
    "loss_curve",
    "sample_histogram",
    "score_field",
    "trajectories",
]
