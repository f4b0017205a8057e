"""An experiment, run and drawn: its pictures as files, and its numbers with what they were made with."""

import io
import time
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from toylab._internal import devices
from toylab.experiments.experiment import Experiment
from toylab.experiments.setting import Numbers, check_seed
from toylab.experiments.versions import versions


def run_and_draw(
    name: str,
    experiment: Experiment,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
    quick: bool = False,
    densities: Sequence[str] | None = None,
) -> tuple[Numbers, dict[str, bytes]]:
    """Run an experiment and draw it.

    Args:
        name: of the experiment, and of its files.
        experiment: such as ``EXPERIMENTS["fields"]``.
        seed: of the whole experiment.
        device: "cpu" or "cuda".
        progress: show progress bars.
        quick: run it at a size that takes seconds.
        densities: some of ``experiment.densities``; None is its default.

    Returns:
        Its numbers, with "made with", and its files by name: PNG, SVG and, where there is one, the table.
    """
    seed = check_seed(seed)
    start = time.perf_counter()
    run = experiment.quick if quick else experiment.run
    if densities is None:
        result = run(seed=seed, device=device, progress=progress)
    else:
        result = run(seed=seed, device=device, progress=progress, densities=tuple(densities))
    made_with = {
        "seed": seed,
        "device": devices.label(device),
        **versions(),
        "seconds": time.perf_counter() - start,
    }
    figure = experiment.draw(result)
    files = {f"{name}.{suffix}": render(figure, suffix) for suffix in ("png", "svg")}
    plt.close(figure)
    if experiment.table is not None:
        files[f"{name}.md"] = (experiment.table(result) + "\n").encode()
    return {**result.numbers, "made with": made_with | ({"quick": True} if quick else {})}, files


def render(figure: Figure, suffix: str) -> bytes:
    """A figure as a PNG or an SVG file, which carries no date."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    return buffer.getvalue()
