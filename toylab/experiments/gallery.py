"""The gallery: every density of the catalogue, clean and at three noise levels, with its score field."""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure, SubFigure

from toylab import plotting
from toylab.densities import catalogue
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import SMALL_BOX, Numbers, generator
from toylab.metrics import grid_points

SIGMAS = (0.0, 0.2, 0.5, 1.0)
_ARROWS, _POINTS = 15, 400
_SHOWN = 0.01  # arrows are drawn where p is at least this share of its largest value
_BLOCKS = 3


def run(*, seed: int = 0, device: torch.device | str = "cpu", progress: bool = True, n_cells: int = 72) -> Result:
    """Evaluate every density and score. Only the samples shown for a clean curve are random.

    Args:
        seed: of these samples.
        device: where to evaluate.
        progress: ignored, as this takes seconds.
        n_cells: cells of a panel along each side.
    """
    numbers: Numbers = {}
    arrays: Arrays = {}
    pixels, arrows = (grid_points(SMALL_BOX, n, dtype=torch.float64).to(device) for n in (n_cells, _ARROWS))
    for name, example in catalogue().items():
        density = example.density.to(device)
        numbers[name] = {"description": example.description, "longest_arrow": {}}
        for sigma in SIGMAS:
            if sigma < example.least_sigma:
                points = density.sample((_POINTS,), generator=generator(seed, 0, device))
                arrays[f"{name}/points"] = points.cpu().numpy()
                continue
            height = density.log_prob(pixels, sigma).exp()
            log_p, score = density.log_prob_and_score(arrows, sigma)
            score = torch.where((log_p.exp() >= _SHOWN * height.max())[..., None], score, 0.0)
            arrays[f"{name}/{sigma}/density"] = height.cpu().numpy()
            arrays[f"{name}/{sigma}/score"] = score.cpu().numpy()
            longest = float(score.norm(dim=-1).max())
            numbers[name]["longest_arrow"][str(sigma)] = longest
    return Result("gallery", numbers, arrays)


def draw(result: Result) -> Figure:
    """Four panels per density, three densities per row; the number is the size of the panel's longest arrow."""
    names = list(result.numbers)
    rows = -(-len(names) // _BLOCKS)
    with plotting.look():
        figure = plt.figure(figsize=(21, 0.9 + 2.35 * rows), layout="constrained")
        figure.suptitle(
            "Every density, clean and noised (grey), and its score where p is above 1 % of its largest value "
            "(arrows, exact; |s| of the longest below)"
        )
        blocks = figure.subfigures(rows, _BLOCKS, squeeze=False, wspace=0.03)
        for block, name in zip(blocks.flat, names, strict=False):
            _row(block, name, result)
    return figure


def _row(block: SubFigure, name: str, result: Result) -> None:
    panels = block.subplots(1, len(SIGMAS))
    panels[0].set_title(name.replace("_", " "), fontsize=15, fontweight="bold", loc="left")
    for ax, sigma in zip(panels, SIGMAS, strict=True):
        ax.set(xticks=[], yticks=[], xlim=SMALL_BOX[:2], ylim=SMALL_BOX[2:], aspect="equal")
        ax.spines[["top", "right"]].set_visible(True)
        label = "clean" if sigma == 0 else f"σ = {sigma:g}"
        if f"{name}/{sigma}/density" not in result.arrays:
            points = result.arrays[f"{name}/points"]
            ax.plot(points[:, 0], points[:, 1], ".", color=plotting.NEUTRAL, markersize=2)
            ax.set_xlabel(f"{label}: samples", fontsize=12)
            continue
        longest = result.numbers[name]["longest_arrow"][str(sigma)]
        height = result.arrays[f"{name}/{sigma}/density"]
        plotting.density_map(height, SMALL_BOX, cmap=plotting.GROUND_MAP, ax=ax)
        if longest > 0:
            score = result.arrays[f"{name}/{sigma}/score"]
            plotting.score_field(score, SMALL_BOX, longest=longest, ax=ax)
        ax.set_xlabel(f"{label}: |s| to {longest:.3g}", fontsize=12)
