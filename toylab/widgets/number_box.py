"""A box for a number: read as meant, with a comma too, or refused with a sentence beside it."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from toylab.widgets.messages import MESSAGE_STYLE, as_message

LARGEST_SEED = 10**12
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


class NumberBox(anywidget.AnyWidget):
    """A box for a number, and a message under it; see ``number_box`` and ``seed_box``.

    Whatever is typed is read when Enter is pressed or the box is left, and an arrow key up or down makes a step.

    Args:
        value: to begin with.
        description: its label.
        read: text to number; raises ValueError that says what is wanted.
        step: of an arrow key.
        width: in pixels.
        tooltip: a word more, where the mouse rests.

    Attributes:
        value: the last number that was good; set it like that of any control. ValueError if it is refused.
        text: what was typed.
        message: what is wrong with that; empty if nothing is.
    """

    _esm = Path(__file__).with_name("number_box.js").read_text()
    _css = MESSAGE_STYLE
    value = traitlets.Any()
    text = traitlets.Unicode("").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
    step = traitlets.Float(1.0).tag(sync=True)
    width = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        value: float,
        description: str,
        read: Callable[[str], float],
        *,
        step: float,
        width: int,
        tooltip: str | None = None,
    ) -> None:
        self._read = read
        super().__init__(value=value, description=description, step=step, width=f"{width}px", tooltip=tooltip)

    @traitlets.validate("value")
    def _accept(self, proposal: traitlets.Bunch) -> float:
        value = self._read(_as_text(proposal["value"]))
        self.text, self.message = _as_text(value), ""  # also where this was the value before: "1,5" becomes 1.5
        return value

    @traitlets.observe("text")
    def _on_text(self, change: traitlets.Bunch) -> None:
        try:
            value = self._read(change["new"])
        except ValueError as error:
            given = change["new"].strip()[:20] or "empty"
            self.message = as_message(f"{self.description} is {given}: {error}. {_as_text(self.value)} stays in use.")
        else:
            self.value = value


def number_box(value: float, description: str, *, least: float, most: float, step: float, width: int) -> NumberBox:
    """A box for a number from ``least`` to ``most``; arguments as those of ``NumberBox``."""
    return NumberBox(value, description, lambda text: read_number(text, least, most), step=step, width=width)


def seed_box(seed: int = 0) -> NumberBox:
    """A box for the seed."""
    return NumberBox(seed, "seed", read_seed, step=1, width=130, tooltip="the same seed gives the same numbers")


def read_number(text: str, least: float, most: float) -> float:
    """The number that is meant: "1.5", "1,5", " 2 ", "1e-3".

    Raises:
        ValueError: if it is none, lies outside, or has a comma that can be read in two ways, as that of "1,000" can.
    """
    number = _parse(text)
    if not least <= number <= most:
        raise ValueError(f"give a number from {least:g} to {most:g}")
    return number


def read_seed(text: str) -> int:
    """The whole number that is meant.

    Raises:
        ValueError: if it is none, is negative or too large, or has a comma that can be read in two ways.
    """
    number = _parse(text)
    if not 0 <= number <= LARGEST_SEED or number != int(number):
        raise ValueError("give a whole number from 0 to 10^12")
    return int(number)


def _parse(text: str) -> float:
    """The number that is written there, nan if none is."""
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    if _THOUSANDS.fullmatch(plain):
        raise ValueError(f"write {plain.replace(',', '')}, or {plain.replace(',', '.')} if that is meant")
    if "." not in plain:
        plain = plain.replace(",", ".")
    return float(plain) if _NUMBER.fullmatch(plain) else math.nan


def _as_text(number: float) -> str:
    """As short as it can be, and exact."""
    return repr(number).removesuffix(".0")
