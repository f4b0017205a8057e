"""Published toy results, run in their settings, beside the exact value or the floor. ``PAPERS`` lists them all."""

from toylab.papers import (
    classifier_free_guidance,
    eight_gaussians_to_moons,
    flow_matching_checkerboard,
    forty_modes,
    fractal_tree,
    half_normal,
    two_modes,
)
from toylab.papers.paper import Line, Paper, from_json, table, to_json

__all__ = ["PAPERS", "Line", "Paper", "from_json", "table", "to_json"]

PAPERS: dict[str, Paper] = {
    module.__name__.rsplit(".", 1)[-1]: module.PAPER
    for module in (
        two_modes, half_normal, flow_matching_checkerboard, eight_gaussians_to_moons, forty_modes, fractal_tree,
        classifier_free_guidance,
    )
}  # fmt: skip
"""Every paper by its name, in the order of ``toylab papers``."""
