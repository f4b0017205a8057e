"""One look for the whole project: what a colour means, and how large things are.

The colours are Okabe & Ito's, distinct under all common kinds of colour vision; the maps are perceptually uniform.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.colors import Colormap, ListedColormap

from toylab._internal import validate

EXACT = "#0072B2"  # blue: known exactly
LEARNED = "#D55E00"  # vermilion: learned by a network
ERROR = "#661144"  # wine: the difference of the two
OTHER = "#009E73"  # green: a second family of learned things, where two are compared
NEUTRAL = "#555555"  # data and everything else
FURTHER = ("#CC79A7", "#E69F00")  # third and fourth families, where more than two are compared


def _part_of(name: str, low: float, high: float) -> Colormap:
    colours = mpl.colormaps[name](range(256))
    return ListedColormap(colours[int(255 * low) : int(255 * high) + 1])


DENSITY_MAP = mpl.colormaps["gray_r"]  # a density, and a histogram of samples on the same scale: white is nothing
GROUND_MAP = _part_of("gray_r", 0.0, 0.45)  # a density as the ground under arrows
ERROR_MAP = _part_of("magma_r", 0.0, 0.6)  # the size of an error; light enough for arrows on it

_SETTINGS = mpl.RcParams(
    {
        "font.size": 13,
        "axes.titlesize": 15,
        "axes.labelsize": 13,
        "figure.titlesize": 17,
        "legend.fontsize": 12,
        "lines.linewidth": 1.5,
        "lines.markersize": 6.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": "white",
        "figure.dpi": 100,
        "savefig.dpi": 150,
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "toylab",  # the same drawing gives the same file
    }
)


_SIZES = (  # of text and lines, in points
    "font.size", "axes.titlesize", "axes.labelsize", "figure.titlesize", "legend.fontsize", "lines.linewidth",
    "lines.markersize",
)  # fmt: skip


@contextmanager
def look(*, scale: float = 1.0) -> Iterator[None]:
    """The project's text sizes inside a ``with`` block; the reader's own settings come back after it.

    Not ``rc_context``: that also takes back what a notebook's backend sets when it starts inside the block, and no
    later figure is shown.

    Args:
        scale: how much larger text, lines and markers are: 1.5 for a projector, in a figure of the same size.

    Raises:
        ValueError: unless scale is positive and finite.
    """
    scale = validate.positive("scale", scale)
    settings = {key: value * scale if key in _SIZES else value for key, value in _SETTINGS.items()}
    before = {key: mpl.rcParams[key] for key in _SETTINGS}
    mpl.rcParams.update(settings)
    try:
        yield
    finally:
        mpl.rcParams.update(before)
