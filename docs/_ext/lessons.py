"""Lessons as pages: a widget is its live twin, or said in words, and each picture gets its alternative text.

What a picture shows is in the metadata of the cell that draws it, as ``"alt"``: a run of the lesson keeps it there. A
reader who does not see the picture is given these words; the text under it explains it to all. A picture without such
words is a warning, and so an error of ``make site``. `toylab.classroom.twins` says how a cell names the twin of its
widget: an instrument that needs no kernel.
"""

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from toylab.classroom.twins import Twin, twin_of

LOGGER = logging.getLogger(__name__)
WIDGET = "application/vnd.jupyter.widget-view+json"
INSTEAD = "*(Here the notebook has a picture to play with: open it in JupyterLab, by* `toylab lab`*.)*"


def read(text: str) -> nbformat.NotebookNode:
    """A notebook with live twins for its widgets, which need a running kernel, and with the words of its pictures.

    Where a cell names no twin, words stand for its widget, with the reason that it gives as ``"no_live"``.
    """
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata.pop("widgets", None)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if words := cell.metadata.get("alt"):
            cell.metadata["mystnb"] = {"image": {"alt": words}}
        twin = twin_of(cell)
        if twin:
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            cells.append(frame(twin))
            continue
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                output.data = {"text/markdown": " ".join([INSTEAD, cell.metadata.get("no_live", "")]).strip()}
    notebook.cells = cells
    return notebook


def frame(twin: Twin) -> nbformat.NotebookNode:
    """A cell with the instrument in it, by the directive of `instruments`."""
    return nbformat.v4.new_markdown_cell(f"```{{live}} {twin.instrument}\n:address: {twin.address}\n```")


def find_undescribed(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of each picture that has no alternative text."""
    for picture in doctree.findall(nodes.image):
        if not picture.get("alt", "").strip():
            LOGGER.warning(
                'picture without alternative text: %s (in a lesson: "alt" in the metadata of its cell)',
                picture.get("uri"),
                location=picture,
            )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the check; the reader is named in ``conf.py``."""
    app.connect("doctree-read", find_undescribed)
    return {"parallel_read_safe": True}
