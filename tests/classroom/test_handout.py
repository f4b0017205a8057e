import copy
import json
import re
from pathlib import Path

import nbformat
import pytest

from toylab.classroom import handout
from toylab.live import INSTRUMENTS, page

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))


def cells_of(path: Path) -> list[dict]:
    return json.loads(path.read_text())["cells"]


def text_of(cell: dict) -> str:
    return "".join(cell["source"])


def solutions(path: Path) -> list[str]:
    """What is between the tags, found by walking from tag to tag."""
    found = []
    for cell in cells_of(path):
        for part in text_of(cell).split("<summary>Solution</summary>")[1:]:
            found.append(part.split("</details>")[0])
    return found


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    out = tmp_path_factory.mktemp("handout") / "class"
    handout.write(NOTEBOOKS, out)
    return out


def test_every_notebook_and_every_picture_is_there(copies):
    for folder, suffix in ((".", "*.ipynb"), ("pictures", "*.*")):
        names = sorted(path.name for path in (NOTEBOOKS / folder).glob(suffix))
        assert sorted(path.name for path in (copies / folder).iterdir() if path.is_file()) == names
    for path in (NOTEBOOKS / "pictures").iterdir():
        assert (copies / "pictures" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_line_of_a_solution_is_left(path, copies):
    elsewhere = "\n".join(re.sub(r"<details>.*?</details>", "", text_of(cell), flags=re.S) for cell in cells_of(path))
    left = (copies / path.name).read_text()
    assert "<summary>Solution" not in left
    text = "\n".join(text_of(cell) for cell in cells_of(copies / path.name))
    for solution in solutions(path):
        for line in filter(None, map(str.strip, solution.splitlines())):
            assert line not in text or line in elsewhere, line


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_all_else_is_the_same_cell_by_cell(path, copies):
    """Walks through both: a cell with solutions must be its pieces, in order, with a place for each answer.

    Under a cell that names a live twin is a link to it.
    """
    original, student = json.loads(path.read_text()), json.loads((copies / path.name).read_text())
    for cell in original["cells"]:  # links out of the folder are text
        if cell["cell_type"] == "markdown" and "](../" in text_of(cell):
            cell["source"] = re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", text_of(cell)).splitlines(keepends=True)
    assert {**original, "cells": []} == {**student, "cells": []}
    there = iter(student["cells"])
    for cell in original["cells"]:
        if "<summary>Solution</summary>" not in text_of(cell):
            assert next(there) == cell
            if "live" in cell["metadata"]:
                twin = next(there)
                name, _, address = cell["metadata"]["live"].partition("#")
                assert twin["cell_type"] == "markdown" and f"](live/{name}.html#{address})" in text_of(twin)
            continue
        first, *rest = re.split(r"<details>(.*?)</details>", text_of(cell), flags=re.S)
        assert next(there) == {**cell, "source": first.strip("\n").splitlines(keepends=True)}
        for solution, after in zip(rest[::2], rest[1::2], strict=True):
            answer = next(there)
            assert (answer["cell_type"], text_of(answer)) == ("markdown", handout.ANSWER)
            if "```python" in solution:
                code = next(there)
                assert (code["cell_type"], code["source"], code["outputs"]) == ("code", [], [])
            if after.strip():
                assert text_of(next(there)) == after.strip("\n")
    assert next(there, None) is None


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_copies_are_notebooks(path, copies):
    notebook = nbformat.read(copies / path.name, as_version=4)
    nbformat.validate(notebook)
    assert len({cell["id"] for cell in notebook.cells}) == len(notebook.cells)


def lesson(text: str) -> dict:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])


SOLUTION = "<details><summary>Solution</summary>\n\nsecret\n\n</details>"


@pytest.mark.parametrize(
    "text",
    [
        "<details><summary>The answer</summary>\n\nsecret\n\n</details>",
        "<details open><summary>Solution</summary>\n\nsecret\n\n</details>",
        SOLUTION.replace("</details>", ""),
        SOLUTION.replace("secret", "<details><summary>Hint</summary>x</details>\n\nsecret"),
        SOLUTION + "\n\n" + SOLUTION.replace("</details>", ""),
        SOLUTION.replace("Solution", "<b>Solution</b>"),
        SOLUTION.replace("<summary>", '<summary style="color:red">'),
        SOLUTION.replace("<summary>", "<summary >"),
        SOLUTION.replace("details>", "DETAILS>"),
        SOLUTION.replace("secret", "write `</details>` at the end\n\nsecret"),
    ],
)
def test_what_looks_like_a_solution_never_slips_through(text):
    with pytest.raises(ValueError, match="a solution would stay"):
        handout.student_copy(lesson(text))


def test_no_link_of_a_copy_leads_nowhere(copies):
    for path in copies.glob("*.ipynb"):
        for cell in cells_of(path):
            if cell["cell_type"] == "markdown":
                for target in re.findall(r"\]\((?!http)([^)#]+)\)", text_of(cell)):
                    assert (copies / target).exists(), (path.name, target)


def test_the_live_twins_are_handed_out(copies, tmp_path):
    assert sorted(path.name for path in (copies / "live").iterdir()) == sorted(f"{name}.html" for name in INSTRUMENTS)
    for name in INSTRUMENTS:
        assert (copies / "live" / f"{name}.html").read_text() == page(name)
    (tmp_path / "of_my_own.ipynb").write_text(json.dumps(lesson("**1.** Why?")))
    handout.write(tmp_path, tmp_path / "class")
    assert not (tmp_path / "class" / "live").exists()  # no lesson has a twin


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("player#seed=1", "begin with one of playground"),
        ("playground", "no good address"),
        ("playground#seed=1) <b>", "no good address"),
    ],
)
def test_a_twin_that_is_none_is_refused(named, said, tmp_path):
    cell = nbformat.v4.new_code_cell("play()", metadata={"live": named})
    (tmp_path / "odd.ipynb").write_text(json.dumps(nbformat.v4.new_notebook(cells=[cell])))
    with pytest.raises(ValueError, match=f"odd.ipynb: cannot be made a handout .*{said}"):
        handout.write(tmp_path, tmp_path / "class")


def test_a_hint_stays():
    hint = lesson("<details><summary>Hint</summary>\n\nlook left\n\n</details>")
    assert handout.student_copy(hint) == hint


def test_the_notebook_handed_in_is_left_alone():
    notebook = lesson("**1.** Why?\n\n" + SOLUTION)
    before = copy.deepcopy(notebook)
    found = handout.student_copy(notebook)
    assert notebook == before
    assert [text_of(cell) for cell in found["cells"]] == ["**1.** Why?", handout.ANSWER]


def test_nothing_is_overwritten_unless_asked(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "06_sde.png").write_text("mine")
    with pytest.raises(ValueError, match="06_sde.png exists already: --force"):
        handout.write(NOTEBOOKS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    assert (tmp_path / "pictures" / "06_sde.png").read_text() == "mine"
    handout.write(NOTEBOOKS, tmp_path, force=True)
    assert (tmp_path / "pictures" / "06_sde.png").read_bytes().startswith(b"\x89PNG")


def test_the_notebooks_themselves_are_never_overwritten(tmp_path):
    (tmp_path / "mine.ipynb").write_text(json.dumps(lesson("**1.** Why?\n\n" + SOLUTION)))
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (tmp_path, tmp_path / "link", tmp_path / "link" / ".." / tmp_path.name):
        with pytest.raises(ValueError, match="the notebooks themselves"):
            handout.write(tmp_path, out, force=True)
    assert "secret" in (tmp_path / "mine.ipynb").read_text()


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write_bytes(path, content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        handout.write(NOTEBOOKS, tmp_path / "class")
    assert list((tmp_path / "class").iterdir()) == []


@pytest.mark.parametrize("content", ["no json", "[]", "{}"])
def test_what_is_no_notebook_is_named(content, tmp_path):
    with pytest.raises(ValueError, match="has no notebooks"):
        handout.write(tmp_path, tmp_path / "class")
    (tmp_path / "odd.ipynb").write_text(content)
    with pytest.raises(ValueError, match="odd.ipynb: cannot be made a handout"):
        handout.write(tmp_path, tmp_path / "class")
    assert not (tmp_path / "class").exists()
