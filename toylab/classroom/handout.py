"""Student copies of the notebooks, with an empty place for the answer where each solution was.

A solution is what an exercise folds away, ``<details><summary>Solution</summary> ... </details>`` in a markdown cell.
Under a widget is a link to its live twin, whose page is handed out too: it opens from the disk, without Python.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from toylab.classroom.lessons import Notebook, as_bytes, detach
from toylab.classroom.twins import FOLDER, twin_of

ANSWER = "*Your answer:*"

_SOLUTION = re.compile(r"<details>\s*<summary>\s*Solution\s*</summary>.*?</details>", re.DOTALL)
_LOOKS_LIKE_ONE = re.compile(r"<summary[^>]*>(?:(?!</summary).)*?(solution|answer)", re.IGNORECASE | re.DOTALL)


def student_copy(notebook: Notebook) -> Notebook:
    """The notebook without its solutions and with a link under each widget that has a live twin; else unchanged.

    A cell with a solution is split into the text before, the place for the answer (with an empty code cell if the
    solution has code) and the text after. A link to a page outside the notebooks' folder becomes its text, since that
    page is not handed out.

    Args:
        notebook: As in the file, of nbformat 4.

    Raises:
        ValueError: Something is folded away that looks like a solution but is not written as one, so that it would
            reach the students; or a live twin is none that there is.
    """
    cells = detach(notebook)["cells"]
    return {**notebook, "cells": [piece for cell in cells for piece in (*_without_solutions(cell), *_twin(cell))]}


def write(folder: Path, out: Path, *, force: bool = False) -> list[Path]:
    """Write student copies of the notebooks of a folder, its ``pictures``, and the live twins; each file whole or not.

    Returns the files that were written.

    Raises:
        ValueError: ``folder`` has no notebooks or is ``out`` itself, a notebook cannot be read, or a file exists
            already and ``force`` is not given.
        OSError: ``out`` cannot be written to.
    """
    if out.resolve() == folder.resolve():
        raise ValueError(f"{out} holds the notebooks themselves: give another folder for the copies.")
    files = {}
    for path in sorted(folder.glob("*.ipynb")):
        try:
            copy = student_copy(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: cannot be made a handout ({error}).") from None
        files[out / path.name] = as_bytes(copy)
        if any(map(twin_of, copy["cells"])):
            from toylab import live  # not before: it loads torch

            files |= {out / FOLDER / f"{name}.html": live.page(name).encode() for name in live.INSTRUMENTS}
    if not files:
        raise ValueError(f"{folder} has no notebooks: name a folder that has.")
    for path in sorted((folder / "pictures").glob("*.*")):
        files[out / "pictures" / path.name] = path.read_bytes()
    existing = [path for path in files if os.path.lexists(path)]
    if existing and not force:
        raise ValueError(f"{existing[0]} exists already: --force overwrites it (and {len(existing) - 1} more).")
    for path, content in files.items():
        _write(path, content)
    return list(files)


def _without_solutions(cell: dict[str, Any]) -> list[dict[str, Any]]:
    text = "".join(cell["source"])
    if cell["cell_type"] != "markdown" or not re.search("</?details", text, re.IGNORECASE):
        return [cell]
    solutions, rest = _SOLUTION.findall(text), _SOLUTION.split(text)
    folded = "".join(rest)
    opened, closed = (len(re.findall(tag, folded, re.IGNORECASE)) for tag in ("<details", "</details"))
    if _LOOKS_LIKE_ONE.search(folded) or opened != closed:
        raise ValueError(f"a solution would stay in the cell that begins {text[:30]!r}")
    if not solutions:
        return [cell]
    pieces = [{**cell, "source": _lines(rest[0])}]
    for n, (solution, after) in enumerate(zip(solutions, rest[1:], strict=True), start=1):
        pieces.append(_markdown(f"{cell['id']}-answer-{n}", ANSWER))
        if "```python" in solution:
            pieces.append(_code(f"{cell['id']}-code-{n}"))
        if after.strip():
            pieces.append(_markdown(f"{cell['id']}-after-{n}", after))
    return pieces


def _twin(cell: dict[str, Any]) -> list[dict[str, Any]]:
    twin = twin_of(cell)
    if twin is None:
        return []
    text = f"*The same in any browser, without Python and without a network:* [{twin.title}]({twin.page})"
    return [_markdown(f"{cell['id']}-live", text)]


def _markdown(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _lines(text)}


def _code(name: str) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": None, "id": name, "metadata": {}, "outputs": [], "source": []}


def _lines(text: str) -> list[str]:
    return text.strip("\n").splitlines(keepends=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
