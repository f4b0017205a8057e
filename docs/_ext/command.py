"""What the command prints, on its page: ``.. toylab:: figures --list`` is the output of ``toylab figures --list``."""

import contextlib
import io
import os
from unittest.mock import patch

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from toylab.cli import main


def output_of(*words: str) -> str:
    """What ``toylab`` prints when it is called with these words, its help in lines of 90 characters."""
    out = io.StringIO()
    with patch.dict(os.environ, COLUMNS="90"), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(list(words))
    return out.getvalue().strip()


class Toylab(Directive):
    """The output of the command as a literal block."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """One literal block."""
        text = output_of(*self.arguments[0].split())
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("toylab", Toylab)
    return {"parallel_read_safe": True}
