"""The live twin of a widget in a lesson: an instrument that shows the same law and setting in any browser, no kernel.

A cell that shows a widget names its twin in its metadata, ``"live": "playground#density=ring&seed=3"``: one of the
instruments of `toylab.live`, and what is set in it. Where none shows what the widget shows, ``"no_live"`` says why. A
run of the lesson keeps both. The site puts the twin where the widget would be; a handout links to it.
"""

from dataclasses import dataclass
from typing import Any

FOLDER = "live"  # where the pages of the instruments are, beside the lessons


@dataclass(frozen=True)
class Twin:
    """An instrument and what is set in it.

    Attributes:
        instrument: one of ``live.INSTRUMENTS``.
        title: what its page is called.
        address: as after the # in the address of its page.
    """

    instrument: str
    title: str
    address: str

    @property
    def page(self) -> str:
        """The address of the page, from the folder that has ``FOLDER`` in it."""
        return f"{FOLDER}/{self.instrument}.html#{self.address}"


def twin_of(cell: dict[str, Any]) -> Twin | None:
    """The twin that a cell names, or None.

    Args:
        cell: as in the file, of nbformat 4.

    Raises:
        ValueError: there is no such instrument, or the address would not be one address in a link.
    """
    named = cell["metadata"].get("live")
    if named is None:
        return None
    from toylab.live import INSTRUMENTS  # not before: it loads torch

    instrument, _, address = str(named).partition("#")
    if instrument not in INSTRUMENTS:
        known = ", ".join(INSTRUMENTS)
        raise ValueError(f"the cell {cell.get('id')!r} names the live twin {named!r}: begin with one of {known}.")
    if not address or set(address) & set(" ()<>\"'\n"):
        raise ValueError(f"the live twin {named!r} has no good address: give one such as 'playground#density=ring'.")
    return Twin(instrument, INSTRUMENTS[instrument].title, address)
