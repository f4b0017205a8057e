"""How results are displayed: a few lines when printed, a table in a notebook."""

from collections.abc import Sequence
from html import escape


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
