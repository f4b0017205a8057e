"""Published toy results, run in their settings, beside the exact value or the floor.

``PAPERS`` lists them all.
"""

import sys
import time
from collections.abc import Sequence

from tqdm.auto import tqdm

from toylab.experiments.setting import Numbers
from toylab.experiments.versions import versions
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

__all__ = ["PAPERS", "Line", "Paper", "page", "results"]

PAPERS: dict[str, Paper] = {
    module.__name__.rsplit(".", 1)[-1]: module.PAPER
    for module in (
        two_modes, half_normal, flow_matching_checkerboard, eight_gaussians_to_moons, forty_modes, fractal_tree,
        classifier_free_guidance,
    )
}  # fmt: skip
"""Every paper by its name, in the order of ``toylab papers``."""


def results(names: Sequence[str], *, seed: int = 0, share: float = 1.0, progress: bool = True) -> Numbers:
    """Run papers one after the other.

    Args:
        names: of ``PAPERS``.
        seed: of each of them.
        share: of the points and steps that they take in full; below 1 for a quick look, not to be quoted.
        progress: show progress bars.

    Returns:
        By the name of each its "lines", and "made with"; for ``page``, and for JSON.
    """
    found: Numbers = {}
    for name in names:
        if progress:
            tqdm.write(f"papers: {name}", file=sys.stderr)  # the page alone goes to standard output
        start = time.perf_counter()
        lines = PAPERS[name].run(seed=seed, share=share, progress=progress)
        made_with = {"seed": seed, "share": share, **versions(), "seconds": time.perf_counter() - start}
        found[name] = {"lines": [to_json(line) for line in lines], "made with": made_with}
    return found


def page(found: Numbers) -> str:
    """What ``results`` found, in Markdown: of each paper its source, the settings, and the table."""
    parts = []
    for name, of_one in found.items():
        paper, lines = PAPERS[name], [from_json(line) for line in of_one["lines"]]
        parts.append(f"**{paper.source}.** {paper.settings}.\n\n{table(lines)}\n")
    return "\n".join(parts)
