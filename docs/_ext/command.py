"""The help of the command on its page: ``.. help:: figures`` is what ``toylab figures --help`` prints."""

import contextlib
import io
import os
from unittest.mock import patch

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from toylab.cli import main


def help_of(*words: str) -> str:
    """What the command prints when asked for help, in lines of 90 characters."""
    out = io.StringIO()
    with patch.dict(os.environ, COLUMNS="90"), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return out.getvalue().strip()


class Help(Directive):
    """The help of the command, or of a part of it, as a literal block."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One literal block."""
        text = help_of(*self.arguments)
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("help", Help)
    return {"parallel_read_safe": True}
