"""How results are displayed, a few lines or a table in a notebook, and values in the sentence of an error."""

import reprlib
from collections.abc import Sequence
from html import escape
from typing import SupportsFloat

_MOST = 100  # characters of a value in a sentence
_repr = reprlib.Repr()
_repr.maxlist = _repr.maxtuple = _repr.maxset = _repr.maxdict = 6
_repr.maxstring = _repr.maxlong = _repr.maxother = _MOST


def short(value: object) -> str:
    """A value in one line of a sentence, as its repr is, without its middle if it is long."""
    if getattr(value, "shape", None) == ():  # a number of NumPy is shown as one
        return str(value)
    try:
        text = " ".join(_repr.repr(value).split())
    except ValueError:  # of an int with thousands of digits
        return f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= _MOST else f"{text[: _MOST - 15]} ... {text[-10:]}"


def why_not_numbers(value: object) -> str:
    """Why lists are no table of numbers, for the end of a sentence."""
    return _of_an_entry(value) or "in rows of one length, and none too large for a float"


def _of_an_entry(value: object) -> str:
    if isinstance(value, list | tuple):
        return next((words for entry in value if (words := _of_an_entry(entry))), "")
    if isinstance(value, complex) or "complex" in str(getattr(value, "dtype", "")):
        return "and not complex ones"
    is_a_number = isinstance(value, SupportsFloat) and not isinstance(value, str)
    return "" if is_a_number else f"and {short(value)} is a {type(value).__name__}"


def reason(error: Exception) -> str:
    """The first line of an error of torch's or NumPy's, to be told in a sentence of ours."""
    line = str(error).partition("\n")[0].rstrip(".")
    return line if len(line) <= 2 * _MOST else f"{line[: 2 * _MOST]} ..."


def html_table(rows: Sequence[tuple[str, str]]) -> str:
    """Rows of (name, value) as an HTML table, for ``_repr_html_``; both are escaped, so any text is safe."""
    cells = "".join(
        f'<tr><th scope="row" style="text-align: left">{escape(name)}</th>'
        f'<td style="text-align: left">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table>{cells}</table>"


def text_table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """The same rows as lines of text below a title, for ``__repr__``."""
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([title, *(f"    {name:<{width}}  {value}" for name, value in rows)])
