"""The lessons: opened in place in a checkout, copied to a folder of the user's from an installed package."""

import json
import re
from pathlib import Path
from typing import Any

from toylab.classroom.twins import FOLDER

Notebook = dict[str, Any]  # as in the file, of nbformat 4

FIRST_PAGE = "00_start_here.ipynb"
OWN_COPY = "toylab-lessons"  # the folder that the lessons of an installed package are copied to

_PACKAGE = Path(__file__).resolve().parents[1]
IN_CHECKOUT = _PACKAGE.parent / "notebooks"
IN_WHEEL = _PACKAGE / "lessons"  # setup.py puts notebooks/ there

_LINK_OUT = re.compile(r"(?<!!)\[([^\]]*)\]\(\.\./[^)]*\)")


def source_folder(named: Path | None = None) -> Path:
    """The folder to read lessons from, absolute: the one named, or else the checkout's, or else the package's.

    Raises:
        ValueError: No folder has that name, or none was named and neither checkout nor package has the lessons.
    """
    if named is not None:
        if not named.is_dir():
            raise ValueError(f"{str(named)!r} is not a folder: name one with notebooks in it.")
        return named.resolve()
    for folder in (IN_CHECKOUT, IN_WHEEL):
        if (folder / FIRST_PAGE).is_file():
            return folder
    raise ValueError("this installation of toylab has no lessons: install it again, or name a folder with notebooks.")


def working_folder(named: Path | None = None) -> tuple[Path, str]:
    """The folder to work in, and a sentence about what was copied, empty if nothing had to be.

    That is the folder of `source_folder`, except for the lessons of an installed package: nobody should work within
    ``site-packages``, so they are copied to ``toylab-lessons`` in the current folder.

    Raises:
        ValueError: As `source_folder`, or the copy cannot be written.
    """
    folder = source_folder(named)
    if folder != IN_WHEEL:
        return folder, ""
    own = Path(OWN_COPY).resolve()
    try:
        copied, kept = copy_missing(folder, own)
    except OSError as error:
        raise ValueError(
            f"{own}: the lessons cannot be copied there ({error.strerror}). "
            "Start in another folder, or name one with notebooks in it."
        ) from None
    if not copied:
        return own, f"The lessons are in {own}, as you left them."
    if not kept:
        return own, f"The lessons have been copied to {own} ({len(copied)} files)."
    names = ", ".join(str(path.relative_to(own)) for path in kept)
    return own, f"The lessons are in {own}. Files copied: {len(copied)}; there already, and kept: {names}."


def copy_missing(folder: Path, out: Path) -> tuple[list[Path], list[Path]]:
    """Copy the notebooks of a folder to another, with their pictures and live twins; what is there is never touched.

    Returns the files that were copied, and those that were there and are kept.

    Raises:
        OSError: ``out`` cannot be written to.
    """
    copied: list[Path] = []
    kept: list[Path] = []
    beside = [*(folder / "pictures").glob("*.*"), *(folder / FOLDER).glob("*.html")]
    for path in sorted([*folder.glob("*.ipynb"), *beside]):
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        if path.suffix == ".ipynb":
            content = as_bytes(detach(json.loads(content)))
        try:
            file = target.open("xb")
        except FileExistsError:
            kept.append(target)
            continue
        try:
            with file:
                file.write(content)
        except BaseException:
            target.unlink()
            raise
        copied.append(target)
    return copied, kept


def detach(notebook: Notebook) -> Notebook:
    """The notebook as it reads without the checkout: a link to a page outside its folder becomes its text."""
    return {**notebook, "cells": [_without_links_out(cell) for cell in notebook["cells"]]}


def as_bytes(notebook: Notebook) -> bytes:
    """The notebook as Jupyter writes it to a file."""
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def _without_links_out(cell: dict[str, Any]) -> dict[str, Any]:
    text = "".join(cell["source"])
    if cell["cell_type"] != "markdown" or not _LINK_OUT.search(text):
        return cell
    return {**cell, "source": _LINK_OUT.sub(r"\1", text).splitlines(keepends=True)}
