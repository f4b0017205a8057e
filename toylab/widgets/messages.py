"""The line under a picture: errors and warnings as text, from one handler at a time."""

import html
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import ipywidgets

from toylab._internal.threads import one_thread

taking_turns = threading.RLock()


def message_line() -> ipywidgets.HTML:
    """An empty line for messages, read out by screen readers when it changes."""
    return ipywidgets.HTML(layout={"min_height": "28px"})


@contextmanager
def show_errors(line: ipywidgets.HTML) -> Iterator[None]:
    """Errors about a bad value and warnings inside the block become text in the line; other errors pass through.

    One block at a time: JupyterLab may call the handlers of different controls in separate threads, and neither a
    picture nor Python's warnings can be used by two at once.
    """
    with taking_turns, show_errors_beside(line):
        yield


@contextmanager
def show_errors_beside(line: ipywidgets.HTML) -> Iterator[None]:
    """The same for long work in its own thread, while other handlers take their turns; one such work at a time.

    Whatever is drawn inside must be drawn ``with taking_turns``. torch computes on one thread: at these sizes a second
    one gains nothing, and on a busy machine it makes a control that is dragged lag by seconds.
    """
    recording = warnings.catch_warnings(record=True)
    with taking_turns:  # so that this recording lies wholly inside or wholly around those of the handlers
        caught = recording.__enter__()
        warnings.simplefilter("always")
    texts: list[str] = []
    try:
        with one_thread():
            yield
    except (ValueError, TypeError, FloatingPointError, RuntimeError) as error:  # the last: torch's own
        texts = [str(error)]
    finally:
        with taking_turns:
            recording.__exit__(None, None, None)
            texts += [str(warning.message) for warning in caught if issubclass(warning.category, RuntimeWarning)]
    line.value = as_message(" ".join(texts[:1]))


def as_message(text: str) -> str:
    """The text as a message: bold, and after a sign, so that it does not rely on colour alone."""
    return f'<b role="status" style="color:#661144">&#9888; {html.escape(text)}</b>' if text else ""
