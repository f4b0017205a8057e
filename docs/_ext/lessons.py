"""Lessons as pages: what a browser cannot show is said in words, and each picture gets its alternative text.

What a picture shows is in the metadata of the cell that draws it, as ``"alt"``: a run of the lesson keeps it there. A
reader who does not see the picture is given these words; the text under it explains it to all. A picture without such
words is a warning, and so an error of ``make site``.
"""

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
WIDGET = "application/vnd.jupyter.widget-view+json"
INSTEAD = "*(Here the notebook has a picture to play with: open it in JupyterLab, by* `toylab lab`*.)*"


def read(text: str) -> nbformat.NotebookNode:
    """A notebook with words for its widgets, which need a running kernel, and with those of its pictures."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if words := cell.metadata.get("alt"):
            cell.metadata["mystnb"] = {"image": {"alt": words}}
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                output.data = {"text/markdown": INSTEAD}
    return notebook


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
