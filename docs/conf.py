"""Settings of Sphinx. The sources are the whole repository, so that links between pages, lessons and files hold.

python -m sphinx -W -c docs . site
"""

import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

project = "toylab"
author = "toylab developers"
copyright = author
version = release = installed("toylab")
root_doc = "docs/index"
include_patterns = ["docs/**.md", "docs/**.rst", "notebooks/*.ipynb", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = ["**/.*", ".*", "site", "figures", "build", "dist"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "myst_nb",
    # ours, in docs/_ext
    "formulas",
    "reference",
    "lessons",
    "command",
    "instruments",
    "offline",
    "check",
]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!toylab\.).*"),  # what belongs to others, as torch, is not looked up
    ("py:class", r"toylab\.\w+\.\w+\..*"),  # nor is a type that a package does not export
]

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # `log_prob` is described once, in Density, and where a density has its own formula
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100
napoleon_numpy_docstring = False
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.header"]  # lessons go from a title to a fourth level where an exercise has one
nb_custom_formats = {".ipynb": "lessons.read"}
nb_execution_mode = "off"  # lessons are shown with the outputs they were committed with
nb_merge_streams = True

html_theme = "furo"
html_title = "toylab"
html_static_path = ["_static"]
html_css_files = ["toylab.css"]
html_js_files = ["live_theme.js"]
html_copy_source = False
html_show_copyright = False
html_additional_pages = {"index": "redirect.html"}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
linkcheck_ignore = [r"https?://(127\.0\.0\.1|localhost)"]
