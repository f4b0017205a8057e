"""A moving picture for a page without a kernel: HTML with a player, or a GIF."""

from collections.abc import Callable, Iterable

from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from toylab._internal import validate
from toylab._internal.display import short


def animate(
    figure: Figure, draw: Callable[[int], object], frames: int | Iterable[int], *, interval: int = 120
) -> FuncAnimation:
    """A figure moved frame by frame, as matplotlib's animation.

    ``animate(...).to_jshtml()`` is HTML with a player that needs no kernel (in a notebook, show it by
    ``IPython.display.HTML``); ``animate(...).save("film.gif", writer="pillow")`` is a GIF, which moves on GitHub too.

    Args:
        figure: whose artists move, such as that of a widget's picture.
        draw: moves them to frame k; what it returns is not used.
        frames: how many, from 0; or which.
        interval: milliseconds from frame to frame.

    Example, the film of a diffusion:

        from toylab.widgets.diffusion_picture import DiffusionPicture

        picture = DiffusionPicture(film)
        animate(picture.figure, picture.show_frame, len(film.times)).save("diffusion.gif", writer="pillow")
    """
    if not isinstance(figure, Figure):
        raise TypeError(f"figure is a {type(figure).__name__}: give a matplotlib Figure, such as picture.figure.")
    validate.function("draw", draw, "picture.show_frame", takes=1)
    validate.positive("interval", interval)
    try:
        n = validate.whole(frames)
        frames = range(validate.count("frames", n)) if n is not None else list(frames)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"frames is {short(frames)}: give a number of frames (int), or which to show, such as range(0, 41, 2)."
        ) from None
    if not frames:
        raise ValueError("frames is empty: give a number of frames, or which to show, such as range(0, 41, 2).")

    def show(frame: int) -> None:
        draw(frame)

    return FuncAnimation(figure, show, frames=frames, interval=interval, repeat=True, cache_frame_data=False)
