"""A moving picture for a page without a kernel: HTML with a player, or a GIF; 41 frames take 0.1 to 1.2 megabytes."""

import base64
import hashlib
import html
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from toylab._internal import validate
from toylab._internal.display import short

WIDTH = 520  # pixels: wider, the film of a diffusion under three scores would be more than a megabyte
_COLOURS = 24  # a picture of ours has few, and each more costs
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
            first, *rest = self.frames
            first.save(path, save_all=True, append_images=rest, duration=self.interval, loop=0, optimize=False)
        elif path.suffix == ".html":
            path.write_text(f"<!DOCTYPE html>\n<meta charset='utf-8'>\n<title>film</title>\n{self.to_html()}", "utf-8")
        else:
            raise ValueError(f"path is {str(path)!r}: give one that ends in .gif or .html.")

    def to_html(self) -> str:
        """HTML with a player that needs neither a kernel nor a network: a button, a slider, and words for each frame.

        By keyboard: Tab to the slider, then the arrow keys. It waits to be started where the reader's system asks for
        reduced motion.
        """
        pictures = [_webp(frame) for frame in self.frames]
        parts = {
            "ID": hashlib.sha256(b"".join(pictures)).hexdigest()[:12],
            "WIDTH": str(self.frames[0].width),
            "LAST": str(len(self.frames) - 1),
            "ALT": html.escape(self.alt[0], quote=True),
            "FIRST": _address(pictures[0]),
            "INTERVAL": str(self.interval),
            "WORDS": json.dumps(self.alt).replace("<", "\\u003c"),  # no word can end the script
            "FRAMES": json.dumps([_address(picture) for picture in pictures]),
        }
        page = _PLAYER
        for name, part in parts.items():
            page = page.replace(f"${name}$", part)
        return page

    def _repr_html_(self) -> str:
        return self.to_html()


def animate(
    figure: Figure, draw: Callable[[int], object], frames: int | Iterable[int], *, interval: int = 120
) -> Animation:
    """A figure moved frame by frame: ``.save("film.gif")``, ``.save("film.html")``, or ``.to_html()`` for a page.

    It is drawn 520 pixels wide, in 24 colours.

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
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches=whole, pil_kwargs={"compress_level": 0})
    return Image.open(buffer).convert("RGB")


def in_few_colours(drawn: Sequence[Image.Image], interval: int, words: Sequence[str]) -> Animation:
    """The frames with one palette: colours that would differ from frame to frame flicker."""
    width, height = drawn[0].size
    some = drawn[:: -(-len(drawn) // 6)]
    sheet = Image.new("RGB", (width, height * len(some)))
    for k, frame in enumerate(some):
        sheet.paste(frame, (0, k * height))
    # the method that keeps the few pixels of an arrow in their colour
    palette = sheet.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    frames = tuple(frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn)
    return Animation(frames, interval, tuple(words))


def _webp(frame: Image.Image) -> bytes:
    buffer = io.BytesIO()
    frame.convert("RGB").save(buffer, "WEBP", lossless=True, method=2, quality=50)
    return buffer.getvalue()


def _address(picture: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(picture).decode()
