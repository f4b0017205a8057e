"""A moving picture for a page without a kernel: HTML with a player, or a GIF; 41 frames take a megabyte at most.

Most of a picture stays from frame to frame. So the frames of a page are parts of one large picture, in whose lossless
WebP a frame refers to those beside it; the player cuts out the frame that is asked for, in any order. In a GIF what has
not changed since the frame before is transparent. Megabytes of 41 frames in 128 colours:

                                                    explorer,     explorer,    diffusion under
                                                  least levels   all levels     three scores
    page, each frame a picture                        1.72          1.09            1.17
    page, one ground, and over it what differs        0.47          1.12            0.99
    page, parts of one picture                        0.23          0.63            0.58
    GIF, of whole frames                              1.58          1.02            1.11
    GIF, what has not changed is transparent          0.14          0.60            0.55
"""

import base64
import hashlib
import html
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from toylab._internal import validate
from toylab._internal.display import short

WIDTH = 520  # pixels: three pictures beside one another can be read, and 41 frames are drawn in a few seconds
_COLOURS = (128, 64, 32, 24)  # with fewer the shades of a density are rings
_MOST = 1_000_000  # bytes of 41 frames, as a GIF and as a page; more frames weigh more
_WHITE = 248  # a colour of a palette that is nearly white is white, or paper would take that colour
_SHEET = (8192, 2048)  # pixels of a large picture, at most: what every browser can draw from
_PLAYER = Path(__file__).with_name("player.html").read_text()


@dataclass(frozen=True, eq=False)
class Animation:
    """A film that is drawn, with one set of colours for all its frames.

    In a notebook it shows itself, with a player.

    Attributes:
        frames: pictures with a palette, all of one size.
        interval: milliseconds from frame to frame.
        alt: what is seen in each frame, in words; empty where that is not known.
    """

    frames: tuple[Image.Image, ...]
    interval: int
    alt: tuple[str, ...]

    def save(self, path: str | Path) -> None:
        """Write a GIF, which moves on GitHub too, or a page of HTML with a player.

        Args:
            path: ends in .gif or .html.

        Raises:
            ValueError: if it ends otherwise.
        """
        path = Path(path)
        if path.suffix == ".gif":
            path.write_bytes(self._gif)
        elif path.suffix == ".html":
            path.write_text(f"<!DOCTYPE html>\n<meta charset='utf-8'>\n<title>film</title>\n{self.to_html()}", "utf-8")
        else:
            raise ValueError(f"path is {str(path)!r}: give one that ends in .gif or .html.")

    def to_html(self) -> str:
        """HTML with a player that needs neither a kernel nor a network: a button, a slider, and words for each frame.

        By keyboard: Tab to the slider, then the arrow keys. It waits to be started where the reader's system asks for
        reduced motion.
        """
        return self._page

    def _repr_html_(self) -> str:
        return self.to_html()

    @cached_property
    def _page(self) -> str:
        width, height = self.frames[0].size
        columns, rows = max(1, _SHEET[0] // width), max(1, _SHEET[1] // height)
        per_sheet = columns * rows
        sheets = [
            _webp(_side_by_side(self.frames[k : k + per_sheet], columns)) for k in range(0, len(self.frames), per_sheet)
        ]
        parts = {
            "ID": hashlib.sha256(b"".join(sheets)).hexdigest()[:12],
            "WIDTH": str(width),
            "HEIGHT": str(height),
            "COLUMNS": str(columns),
            "ROWS": str(rows),
            "LAST": str(len(self.frames) - 1),
            "ALT": html.escape(self.alt[0], quote=True),
            "FIRST": _address(_webp(self.frames[0])),
            "INTERVAL": str(self.interval),
            "WORDS": json.dumps(self.alt).replace("<", "\\u003c"),  # no word can end the script
            "SHEETS": json.dumps([_address(sheet) for sheet in sheets]),
        }
        page = _PLAYER
        for name, part in parts.items():
            page = page.replace(f"${name}$", part)
        return page

    @cached_property
    def _gif(self) -> bytes:
        first, *rest = self.frames
        buffer = io.BytesIO()
        # optimize leaves transparent what has not changed
        first.save(buffer, "GIF", save_all=True, append_images=rest, duration=self.interval, loop=0, optimize=True)
        return buffer.getvalue()


def animate(
    figure: Figure, draw: Callable[[int], object], frames: int | Iterable[int], *, interval: int = 120
) -> Animation:
    """A figure moved frame by frame: ``.save("film.gif")``, ``.save("film.html")``, or ``.to_html()`` for a page.

    It is drawn 520 pixels wide, in 128 colours, or in fewer where it would weigh too much.

    Args:
        figure: whose artists move, such as that of a widget's picture.
        draw: moves them to frame k; a text that it returns is the alternative text of the frame.
        frames: how many, from 0; or which.
        interval: milliseconds from frame to frame.

    Example, a dot that moves:

        from matplotlib.figure import Figure

        figure = Figure()
        (dot,) = figure.add_subplot(xlim=(0, 10)).plot([0], [0], "o")
        animate(figure, lambda k: dot.set_data([k], [0]), 10).save("dot.gif")
    """
    if not isinstance(figure, Figure):
        raise TypeError(f"figure is a {type(figure).__name__}: give a matplotlib Figure, such as picture.figure.")
    validate.function("draw", draw, "picture.show_frame", takes=1)
    interval = validate.count("interval", interval)
    try:
        n = validate.whole(frames)
        frames = range(validate.count("frames", n)) if n is not None else list(frames)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"frames is {short(frames)}: give a number of frames (int), or which to show, such as range(0, 41, 2)."
        ) from None
    if not frames:
        raise ValueError("frames is empty: give a number of frames, or which to show, such as range(0, 41, 2).")
    drawn, words = [], []
    for frame in frames:
        seen = draw(frame)
        words.append(seen if isinstance(seen, str) else "")
        drawn.append(draw_frame(figure))
    return in_few_colours(drawn, interval, words)


def draw_frame(figure: Figure) -> Image.Image:
    """The figure as it is now, ``WIDTH`` pixels wide; also what a widget draws over its background."""
    buffer = io.BytesIO()
    dpi = WIDTH / figure.get_size_inches()[0]
    whole = figure.bbox_inches  # whatever the reader's settings cut off a figure that is saved
    # what a widget moves is drawn over the rest: matplotlib would save it where it is in axes, and here leave it out
    captions = [artist for artist in figure.get_children() if artist.get_animated()]
    for artist in captions:
        artist.set_animated(False)
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches=whole, pil_kwargs={"compress_level": 0})
    for artist in captions:
        artist.set_animated(True)
    return Image.open(buffer).convert("RGB")


def in_few_colours(drawn: Sequence[Image.Image], interval: int, words: Sequence[str]) -> Animation:
    """The frames in one palette of as many colours as the weight allows."""
    for n in _COLOURS:
        moving = Animation(_in_one_palette(drawn, n), interval, tuple(words))
        most = _MOST * max(1.0, len(drawn) / 41)
        if len(moving._gif) <= most and len(moving._page) <= most:
            break
    return moving


def _in_one_palette(drawn: Sequence[Image.Image], n: int) -> tuple[Image.Image, ...]:
    """The frames in the same n colours: those that would differ from frame to frame flicker."""
    width, height = drawn[0].size
    some = drawn[:: -(-len(drawn) // 6)]
    sheet = Image.new("RGB", (width, height * len(some)))
    for k, frame in enumerate(some):
        sheet.paste(frame, (0, k * height))
    n_greys = n // 4  # without which the shades of a density take the tints of the arrows' edges
    # the method that keeps the few pixels of an arrow in their colour
    palette = sheet.quantize(n - n_greys, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    colours = (palette.getpalette() or [])[: 3 * (n - n_greys)]
    for k in range(0, len(colours), 3):
        if min(colours[k : k + 3]) >= _WHITE:
            colours[k : k + 3] = [255, 255, 255]
    colours += [255 * k // (n_greys - 1) for k in range(n_greys) for _ in range(3)]
    palette.putpalette(colours)
    return tuple(frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn)


def _side_by_side(frames: Sequence[Image.Image], columns: int) -> Image.Image:
    """One picture of all the frames, row by row."""
    width, height = frames[0].size
    rows = -(-len(frames) // columns)
    sheet = Image.new("P", (width * min(columns, len(frames)), height * rows))
    sheet.putpalette(frames[0].getpalette() or [])
    for k, frame in enumerate(frames):
        sheet.paste(frame, (k % columns * width, k // columns * height))
    return sheet


def _webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", lossless=True, method=2, quality=50)
    return buffer.getvalue()


def _address(picture: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(picture).decode()
