"""Formulas without the net: MathJax comes with the site, as one file that holds its letters as well."""

import importlib.util
import shutil
from pathlib import Path

from sphinx.application import Sphinx

SCRIPT = "tex-svg.js"


def mathjax() -> Path:
    """The script, as the package ``sphinx-mathjax-offline`` carries it."""
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        raise FileNotFoundError("sphinx-mathjax-offline is not installed: pip install -c constraints.txt -e '.[docs]'.")
    return Path(found.origin).parent / "static" / "mathjax" / SCRIPT


def copy(app: Sphinx, error: Exception | None) -> None:
    """Put the script beside the other static files."""
    if error is None and app.builder.format == "html":
        shutil.copyfile(mathjax(), Path(app.outdir) / "_static" / SCRIPT)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell ``sphinx.ext.mathjax`` where the script is, and copy it once the pages are written."""
    app.config.mathjax_path = SCRIPT
    app.connect("build-finished", copy, priority=100)
    return {"parallel_read_safe": True}
