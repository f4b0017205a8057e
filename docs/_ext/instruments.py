"""An instrument of the live lab in a page of the site: its own HTML file, written beside the pages, in a frame.

In a page it is called so:

.. live:: playground
   :address: density=ring&play=1
   :height: 46rem
"""

import html
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from toylab import live

FOLDER = "live"


class Live(SphinxDirective):
    """A frame with the instrument, and a link that opens it by itself."""

    required_arguments = 1
    option_spec = {"address": directives.unchanged, "height": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The frame, where the pages are HTML."""
        name = self.arguments[0]
        shown = live.INSTRUMENTS[name]
        up = "../" * self.env.docname.count("/")
        address = self.options.get("address", "")
        page = f"{up}{FOLDER}/{name}.html{'#' + address if address else ''}"
        height = self.options.get("height")
        style = f' style="height: {height}"' if height else ""
        source = html.escape(page)
        frame = (
            f'<iframe class="live" src="{source}" title="{shown.title}" loading="lazy"{style}></iframe>\n'
            f'<p><a href="{source}">{shown.title}</a>, on a page of its own</p>'
        )
        return [nodes.raw("", frame, format="html")]


def write(app: Sphinx, failure: Exception | None) -> None:
    """Write the pages into the site."""
    if failure is None and app.builder.format == "html":
        live.write(Path(app.outdir) / FOLDER, force=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, and that its pages are written with the others."""
    app.add_directive("live", Live)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
