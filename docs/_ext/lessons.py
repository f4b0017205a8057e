"""Lessons as pages: what a browser cannot show is said in words, and each picture gets its alternative text.

A cell that draws is followed by text that begins with what the picture shows, in italics; that is what a reader who
does not see the picture is given. A picture without such words is a warning, and so an error of ``make site``.
"""

import re

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
WIDGET = "application/vnd.jupyter.widget-view+json"
INSTEAD = "*(Here the notebook has a picture to play with: open it in JupyterLab, by* `toylab lab`*.)*"


def read(text: str) -> nbformat.NotebookNode:
    """A notebook whose widgets, which need a running kernel, are replaced by words."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                output.data = {"text/markdown": INSTEAD}
    return notebook


def describe_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Give each drawn picture the words in italics that the next cell begins with."""
    for cell in list(doctree.findall(is_code_cell)):
        pictures = list(cell.findall(nodes.image))
        words = words_below(cell)
        for picture in pictures:
            if words:
                picture["alt"] = words
            else:
                LOGGER.warning(
                    "a picture has no words under it: begin the next cell with them, in italics", location=cell
                )
    for picture in doctree.findall(nodes.image):
        if not picture.get("alt", "").strip():
            LOGGER.warning("picture without alternative text: %s", picture.get("uri"), location=picture)


def is_code_cell(node: nodes.Node) -> bool:
    """Whether a node is a code cell of a notebook, with its outputs."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def words_below(cell: nodes.Element) -> str:
    """The text of the paragraph after a cell if all of it is in italics, else nothing."""
    below = cell.next_node(descend=False, siblings=True)
    if isinstance(below, nodes.container):  # a text cell
        below = below.children[0] if below.children else None
    if not isinstance(below, nodes.paragraph):
        return ""
    words = below.children[0] if below.children else None
    if not isinstance(words, nodes.emphasis) or words.astext() != below.astext():
        return ""
    return re.sub(r"\\([A-Za-z]+)", r"\1", words.astext())  # a formula is read out: sigma, not \sigma


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transformation; the reader is named in ``conf.py``."""
    app.connect("doctree-read", describe_pictures)
    return {"parallel_read_safe": True}
