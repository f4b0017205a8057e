"""What results show of themselves in a notebook."""

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
