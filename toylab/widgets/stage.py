"""The picture of a widget: a figure drawn off screen, shown as a PNG, that can be clicked in by mouse and keyboard."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import anywidget
import numpy as np
import traitlets
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.quiver import Quiver
from matplotlib.text import Text
from PIL import Image

from toylab import plotting
from toylab.metrics import Extent
from toylab.widgets.messages import taking_turns

DPI = 80  # until the browser has said how much room there is
MOST_PIXELS = 1_300_000  # of a picture: more are not drawn and sent in the time of a frame
PROJECTED = 1.2  # how much larger type and lines are on a projector
OnClick = Callable[[Axes, float, float], None]


def off_screen(width: float, height: float) -> Figure:
    """A figure of this size in inches, known to no window and no list of open figures: it is freed with its owner.

    It is drawn at ``DPI`` dots per inch, and anew at those that fill the room that there is.
    """
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def empty_field(extent: Extent, n: int, longest: float, color: str, ax: Axes) -> Quiver:
    """A field of n x n arrows, none of which is seen until ``set_UVC``; ``longest`` as in ``plotting.score_field``."""
    plotting.score_field(np.zeros((n, n, 2)), extent, longest=longest, color=color, ax=ax)
    return [artist for artist in ax.collections if isinstance(artist, Quiver)][-1]


class Stage(anywidget.AnyWidget):
    """A figure as a picture that can be clicked in.

    What does not move is drawn once and kept; ``show`` draws the moving artists over it, which is several times faster
    than drawing everything. The browser says how much room there is: as wide as the output of the cell, and no higher
    than leaves the controls on the screen; the figure is drawn anew at that size. In a dark theme the browser turns its
    lightness over: paper becomes black and blue stays blue.

    Args:
        figure: from ``off_screen``.
        moving: its artists that change, in the order they are drawn.
        alt: what is to be seen, in words, for those who cannot see it. Set it again when the numbers change.
        on_click: called with (axes, x, y), in the units of the data, when a place in one of the axes is clicked, or
            chosen by Enter at the cross that the arrow keys move; None is a picture without clicks.
    """

    _esm = Path(__file__).with_name("stage.js").read_text()  # as a path it would be watched, and hold every stage alive
    _css = Path(__file__).with_name("stage.css").read_text()
    png = traitlets.Bytes(b"").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)
    clickable = traitlets.Bool(False).tag(sync=True)
    cross = traitlets.List([0.5, 0.5]).tag(sync=True)
    aspect = traitlets.Float(1.0).tag(sync=True)  # width by height
    room = traitlets.List([0.0, 1.0]).tag(sync=True)  # the width it is shown at, and dots per pixel of the page
    projected = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, figure: Figure, moving: Sequence[Artist], alt: str = "", on_click: OnClick | None = None
    ) -> None:
        self._on_click = on_click
        # of each figure, for the dots and the scale it was drawn with; a film that is made anew drops its figure
        self._backgrounds: WeakKeyDictionary[Figure, tuple[object, object]] = WeakKeyDictionary()
        self._scales: WeakKeyDictionary[Figure, float] = WeakKeyDictionary()
        super().__init__(alt=alt, clickable=on_click is not None)
        self.on_msg(self._handle_click)
        self.put(figure, moving)
        self.observe(self._draw_anew, ["room", "projected"])

    def put(self, figure: Figure, moving: Sequence[Artist]) -> None:
        """Show this figure from now on; what does not move in it is drawn the first time and kept."""
        self.figure, self._moving = figure, tuple(moving)
        canvas = _canvas(figure)
        width, height = figure.get_size_inches()
        shown, density = self.room
        most = (MOST_PIXELS / (width * height)) ** 0.5
        dpi = min(shown * density / width, most) if shown else DPI
        scale = PROJECTED if self.projected else 1.0
        if self._backgrounds.get(figure, (None, None))[0] != (dpi, scale):
            for artist in self._moving:
                artist.set_animated(True)  # left out where the rest is drawn
            _enlarge(figure, scale / self._scales.get(figure, 1.0))
            self._scales[figure] = scale
            figure.set_dpi(dpi)
            canvas.draw()
            self._backgrounds[figure] = (dpi, scale), canvas.copy_from_bbox(figure.bbox)
        self.aspect = width / height
        box = figure.axes[0].get_position()  # the cross starts in the middle of the first axes
        self.cross = [(box.x0 + box.x1) / 2, 1 - (box.y0 + box.y1) / 2]
        self.show()

    def show(self) -> None:
        """Draw the moving artists as they are now."""
        canvas = _canvas(self.figure)
        canvas.restore_region(self._backgrounds[self.figure][1])
        for artist in self._moving:
            (artist.axes or self.figure).draw_artist(artist)
        buffer = io.BytesIO()
        # compressed lightly: it only travels to a browser on the same machine
        Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(buffer, format="png", compress_level=1)
        self.png = buffer.getvalue()

    def _draw_anew(self, _: object) -> None:
        with taking_turns:
            self.put(self.figure, self._moving)

    def _handle_click(self, _: object, content: dict[str, float], __: list[object]) -> None:
        if self._on_click is None:
            return
        # shares of the picture from its top left, in points of the canvas from its bottom left
        place = (content["x"] * self.figure.bbox.width, (1 - content["y"]) * self.figure.bbox.height)
        for ax in self.figure.axes:
            if ax.bbox.contains(*place):
                x, y = ax.transData.inverted().transform(place)
                self._on_click(ax, float(x), float(y))
                return


def _enlarge(figure: Figure, factor: float) -> None:
    """Texts, lines and their markers, this much larger; an axis copies its first tick when it makes others."""
    for text in figure.findobj(Text):
        text.set_fontsize(float(text.get_fontsize()) * factor)
    for line in figure.findobj(Line2D):
        line.set_linewidth(line.get_linewidth() * factor)
        line.set_markersize(line.get_markersize() * factor)


def _canvas(figure: Figure) -> Any:  # noqa: ANN401  the methods of a FigureCanvasAgg have no types
    """The FigureCanvasAgg that ``off_screen`` gave the figure."""
    if not isinstance(figure.canvas, FigureCanvasAgg):
        raise TypeError(f"figure has a {type(figure.canvas).__name__}: make it by off_screen(width, height).")
    return figure.canvas
