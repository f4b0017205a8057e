"""Messages where they belong: beside the control they speak of, or under the picture; from one handler at a time."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from toylab._internal.threads import one_thread

MESSAGE_STYLE = """
.toylab-message { margin: 0; line-height: 1.4; box-sizing: border-box;
  width: 0; min-width: max(100%, 16em); /* wraps within its control, and moves the next one little */
  font-weight: bold; color: var(--jp-content-font-color1, inherit); }
.toylab-message:not(:empty) { padding: 2px 6px; border-left: 4px solid var(--jp-error-color1, #d32f2f); }
.toylab-message:empty { min-width: 0; }
"""  # the colours of the theme; never the colour alone: see as_message
WHOLE = {"flex": "0 0 auto", "overflow": "visible"}  # the layout of what a narrow row may not cut
taking_turns = threading.RLock()


class Message(anywidget.AnyWidget):
    """A text that screen readers read out when it changes; nothing is seen while it is empty.

    Args:
        role: "status" is read out in its turn, "alert" at once.
    """

    _esm = Path(__file__).with_name("message.js").read_text()
    _css = MESSAGE_STYLE
    value = traitlets.Unicode("").tag(sync=True)
    role = traitlets.Unicode("status").tag(sync=True)


class Note(Message):
    """A message that refuses nothing: what is to be known of a choice that is made."""


class Field(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A control with a message of its own under it: what is wrong with its value, or a ``Note``."""

    def __init__(self, control: ipywidgets.Widget, message: Message | None = None) -> None:
        self.control, self.message = control, message or Message(role="alert")
        super().__init__([control, self.message], layout=WHOLE)

    @contextmanager
    def judges(self) -> Iterator[None]:
        """Errors about a bad value inside the block, which is inside ``show_errors``, are shown beside this control."""
        try:
            yield
        except (ValueError, TypeError) as error:
            self.message.value = as_message(str(error))
            raise _ToldBesideControl from error
        self.message.value = ""


class _ToldBesideControl(ValueError):
    """An error that is shown already: it has no text for the line under the picture."""


def message_line() -> Message:
    """An empty line under a picture, for what concerns no control alone."""
    return Message(layout={"min_height": "28px"})


@contextmanager
def show_errors(line: Message) -> Iterator[None]:
    """Errors about a bad value and warnings inside the block become text in the line; other errors pass through.

    One block at a time: JupyterLab may call the handlers of different controls in separate threads, and neither a
    picture nor Python's warnings can be used by two at once.
    """
    with taking_turns, show_errors_beside(line):
        yield


@contextmanager
def show_errors_beside(line: Message) -> Iterator[None]:
    """The same for long work in its own thread, while other handlers take their turns; one such work at a time.

    Whatever is drawn inside must be drawn ``with taking_turns``. torch computes on one thread: at these sizes a second
    one gains nothing, and on a busy machine it makes a control that is dragged lag by seconds.
    """
    recording = warnings.catch_warnings()
    with taking_turns:  # so that this recording lies wholly inside or wholly around those of the handlers
        recording.__enter__()
        caught = _record_those_of_this_thread()
    texts: list[str] = []
    try:
        with one_thread():
            yield
    except (ValueError, TypeError, FloatingPointError, RuntimeError) as error:  # the last: torch's own
        texts = [str(error)]
    finally:
        with taking_turns:
            recording.__exit__(None, None, None)
            texts += [str(warning) for warning in caught if isinstance(warning, RuntimeWarning)]
    line.value = as_message(" ".join(texts[:1]))


def _record_those_of_this_thread() -> list[Warning]:
    """The warnings of this thread from now on; a cell that runs meanwhile in another thread shows its own."""
    caught: list[Warning] = []
    mine, show_elsewhere = threading.get_ident(), warnings.showwarning

    def show(message: Any, *rest: Any, **named: Any) -> None:  # noqa: ANN401  as warnings.showwarning
        if threading.get_ident() == mine:
            caught.append(message)
        else:
            show_elsewhere(message, *rest, **named)

    warnings.simplefilter("always")
    warnings.showwarning = show
    return caught


def as_message(text: str) -> str:
    """The text as a message: after a sign, so that it does not rely on colour alone."""
    return f"\N{WARNING SIGN} {text}" if text else ""
