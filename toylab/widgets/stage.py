"""The picture of a widget: a figure drawn off screen, shown as a PNG, that can be clicked in by mouse and keyboard."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 80
Placed = Callable[[Axes, float, float], None]


def off_screen(width: float, height: float) -> Figure:
    """A figure of this size in inches that no window and no list of open figures knows of: it goes when its owner goes.

    At ``DPI`` dots an inch it is drawn to the size it is shown at.
    """
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


class Stage(anywidget.AnyWidget):
    """A figure as a picture; a click, or Enter at the cross that the arrow keys move, is told in the data's units.

    What does not move is drawn once and kept; ``show`` draws the moving artists over it, which is several times faster
    than drawing all.

    Args:
        figure: from ``off_screen``.
        moving: its artists that change, in the order they are drawn.
        alt: what is to be seen, in words, for those who do not see it. Set it again when the numbers change.
        placed: called with (axes, x, y) when a place in one of the axes is chosen; None is a picture without clicks.
    """

    _esm = Path(__file__).with_name("stage.js").read_text()  # as a path it would be watched, and hold every stage alive
    png = traitlets.Bytes(b"").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)
    width = traitlets.Int(0).tag(sync=True)
    places = traitlets.Bool(False).tag(sync=True)
    cross = traitlets.List([0.5, 0.5]).tag(sync=True)

    def __init__(self, figure: Figure, moving: Sequence[Artist], alt: str = "", placed: Placed | None = None) -> None:
        self._placed, self._grounds = placed, {}
        super().__init__(alt=alt, places=placed is not None)
        self.on_msg(self._chosen)
        self.put(figure, moving)

    def put(self, figure: Figure, moving: Sequence[Artist]) -> None:
        """Show this figure from now on; what stands in it is drawn at the first time and kept."""
        self.figure, self._moving = figure, tuple(moving)
        if figure not in self._grounds:
            for artist in self._moving:
                artist.set_animated(True)  # left out where the rest is drawn
            figure.canvas.draw()
            self._grounds[figure] = figure.canvas.copy_from_bbox(figure.bbox)
        self.width = round(figure.bbox.width)
        box = figure.axes[0].get_position()  # the cross starts in the middle of the first axes
        self.cross = [(box.x0 + box.x1) / 2, 1 - (box.y0 + box.y1) / 2]
        self.show()

    def show(self) -> None:
        """Draw the moving artists as they are now."""
        self.figure.canvas.restore_region(self._grounds[self.figure])
        for artist in self._moving:
            (artist.axes or self.figure).draw_artist(artist)
        buffer = io.BytesIO()
        # packed lightly: it travels to a browser of the same machine
        Image.fromarray(np.asarray(self.figure.canvas.buffer_rgba())).save(buffer, format="png", compress_level=1)
        self.png = buffer.getvalue()

    def _chosen(self, _: object, content: dict, __: list) -> None:
        if self._placed is None:
            return
        # shares of the picture from its top left, in points of the canvas from its bottom left
        place = (content["x"] * self.figure.bbox.width, (1 - content["y"]) * self.figure.bbox.height)
        for ax in self.figure.axes:
            if ax.bbox.contains(*place):
                x, y = ax.transData.inverted().transform(place)
                self._placed(ax, float(x), float(y))
                return
