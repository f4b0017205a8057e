"""A desk for each student of a class: a copy of the lessons of their own, under the name that they give.

All students of a shared lab come in by one password, and would write over one another's notebooks. So the address of
the class leads to a page that asks for a name, copies the lessons to ``students/NAME``, and opens that copy, with the
tabs that were open there the last time. A name that has a desk comes back to it.
"""

import html
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web

from toylab.classroom.lessons import FIRST_PAGE, copy_missing

START = "toylab/start"
"""Where the class comes in, below the server's address."""

DESKS = "students"
"""The folder of the desks, beside the lessons that are copied."""

KERNEL_GB = 0.35
"""What the kernel of a lesson takes at the end of it (`python -m benchmarks class` measures it)."""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>toylab</title>
<style>body {{ font: 1.25rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 15vh auto; padding: 0 1rem; }}
input, button {{ font: inherit; padding: .3rem .6rem; }} [role=alert] {{ font-weight: bold; color: #661144; }}</style>
</head><body><h1>Your copy of the lessons</h1>
<p>Give a name: yours alone in this class, and the same one when you come back.</p>
<form method="post">{xsrf}<p><label>Name <input name="name" value="{name}" autofocus required></label>
<button>Open</button></p></form><p role="alert">{message}</p></body></html>
"""


def room_for(gigabytes: float | None = None) -> str:
    """A sentence on how many students, each with one lesson open, this memory is enough for.

    Args:
        gigabytes: What is free; by default, what this machine has to spare now.
    """
    free = psutil.virtual_memory().available / 1e9 if gigabytes is None else gigabytes
    n = int(free / KERNEL_GB)
    return (
        f"The memory that is free, {free:.1f} GB, is enough for {n} open lessons at {KERNEL_GB:.2f} GB each; "
        "a student who opens several at once takes as much for each."
    )


def desk_name(name: str) -> str:
    """The folder of a student: the name in small letters, with a hyphen for whatever else is between its letters.

    Raises:
        ValueError: It has no letter or digit, or more than 40 characters.
    """
    if len(name) > 40 or not (found := "-".join(re.findall(r"[^\W_]+", name.lower()))):
        raise ValueError("a name has a letter or a digit in it, and at most 40 characters.")
    return found


def own_copy(folder: Path, name: str) -> Path:
    """The student's own copy of the lessons in this folder; what they have changed in it stays.

    Raises:
        ValueError: As `desk_name`, or the copy cannot be written.
    """
    desk = folder / DESKS / desk_name(name)
    try:
        copy_missing(folder, desk)
    except OSError as error:
        raise ValueError(f"the lessons cannot be copied to {DESKS}/{desk.name} ({error.strerror}).") from None
    return desk


def set_up(server: ServerApp, folder: Path) -> None:
    """Add the page to the server, for who has come in by its password."""
    address = url_path_join(server.base_url, START)
    server.web_app.add_handlers(".*$", [(address, _Start, {"folder": folder})])


class _Start(JupyterHandler):
    """The page that asks for a name."""

    def initialize(self, folder: Path) -> None:
        self.folder = folder

    @web.authenticated
    def get(self) -> None:
        """Ask."""
        self._ask()

    @web.authenticated
    def post(self) -> None:
        """Open the desk of the name that was given."""
        name = self.get_body_argument("name", "")
        try:
            desk = own_copy(self.folder, name)
        except ValueError as error:
            self.set_status(400)
            self._ask(name, str(error))
            return
        # a workspace of their own, where JupyterLab keeps which tabs are open; its name has to be in ASCII
        workspace = desk.name.encode("punycode").decode()
        page = f"lab/workspaces/{workspace}/tree/{DESKS}/{quote(desk.name)}/{FIRST_PAGE}"
        self.redirect(url_path_join(self.base_url, page))

    def _ask(self, name: str = "", message: str = "") -> None:
        shown: dict[str, Any] = {"name": html.escape(name), "message": html.escape(message)}
        self.finish(_PAGE.format(xsrf=self.xsrf_form_html(), **shown))
