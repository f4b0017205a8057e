import json
from pathlib import Path

import pytest

from toylab.classroom import lessons

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As installed from a wheel, started in an empty folder; the two lessons that the package has."""
    package = tmp_path / "site-packages" / "toylab" / "lessons"
    (package / "pictures").mkdir(parents=True)
    for name in ("00_start_here.ipynb", "05_noise_levels.ipynb", "pictures/06_sde.png"):
        (package / name).write_bytes((NOTEBOOKS / name).read_bytes())
    monkeypatch.setattr(lessons, "IN_CHECKOUT", package.parents[1] / "notebooks")
    monkeypatch.setattr(lessons, "IN_WHEEL", package)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return package


def test_a_checkout_is_worked_in_as_it_is():
    assert lessons.source_folder() == NOTEBOOKS
    assert lessons.working_folder() == (NOTEBOOKS, "")


def test_a_folder_that_is_named_is_taken_as_it_is(tmp_path, installed):
    assert lessons.source_folder(tmp_path) == tmp_path
    assert lessons.working_folder(tmp_path) == (tmp_path, "")
    with pytest.raises(ValueError, match="'none' is not a folder: name one"):
        lessons.source_folder(Path("none"))


def test_an_installation_without_lessons_says_so(installed):
    (installed / lessons.FIRST_PAGE).unlink()
    with pytest.raises(ValueError, match="no lessons: install it again, or name a folder"):
        lessons.source_folder()


def test_the_lessons_of_a_package_are_copied_at_first_and_then_kept(installed):
    assert lessons.source_folder() == installed
    own = Path("toylab-lessons").resolve()
    folder, sentence = lessons.working_folder()
    assert folder == own
    assert sentence == f"The lessons have been copied to {own} (3 files)."
    first = own / lessons.FIRST_PAGE
    assert first.read_bytes() == (NOTEBOOKS / lessons.FIRST_PAGE).read_bytes()
    assert (own / "pictures" / "06_sde.png").read_bytes() == (NOTEBOOKS / "pictures" / "06_sde.png").read_bytes()
    first.write_text("my work")
    assert lessons.working_folder() == (own, f"The lessons are in {own}, as you left them.")
    assert first.read_text() == "my work"


def test_a_file_that_is_there_is_kept_and_named(installed):
    own = Path("toylab-lessons").resolve()
    (own / "pictures").mkdir(parents=True)
    (own / "05_noise_levels.ipynb").write_text("mine")
    (own / "pictures" / "06_sde.png").symlink_to("nowhere")
    _, sentence = lessons.working_folder()
    assert "Files copied: 1; there already, and kept: 05_noise_levels.ipynb, pictures/06_sde.png." in sentence
    assert (own / "05_noise_levels.ipynb").read_text() == "mine"
    assert not (own / "pictures" / "nowhere").exists()


def test_no_link_of_a_copy_leads_out_of_its_folder(installed):
    folder, _ = lessons.working_folder()
    link = "](../"
    assert link in (installed / "05_noise_levels.ipynb").read_text()
    copy = json.loads((folder / "05_noise_levels.ipynb").read_text())
    assert not [cell for cell in copy["cells"] if cell["cell_type"] == "markdown" and link in "".join(cell["source"])]
    original = json.loads((installed / "05_noise_levels.ipynb").read_text())
    changed = [a["cell_type"] for a, b in zip(original["cells"], copy["cells"], strict=True) if a != b]
    assert changed == ["markdown"]
    assert {**original, "cells": []} == {**copy, "cells": []}


def test_a_folder_that_cannot_be_written_is_one_sentence(installed):
    Path("toylab-lessons").write_text("a file of mine")
    with pytest.raises(ValueError, match="cannot be copied there .*Start in another folder"):
        lessons.working_folder()
    assert Path("toylab-lessons").read_text() == "a file of mine"


def test_a_copy_is_whole_or_not_there(installed, monkeypatch):
    """A full disk: the file that was begun is gone, and the next start copies it."""
    opened = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, content):
            self.file.write(content[:100])
            raise OSError(28, "No space left on device")

    def almost_full(path, mode="r", *arguments, **keywords):
        file = opened(path, mode, *arguments, **keywords)
        return Full(file) if mode == "xb" else file

    with monkeypatch.context() as disk:
        disk.setattr(Path, "open", almost_full)
        with pytest.raises(ValueError, match="No space left"):
            lessons.working_folder()
    assert list(Path("toylab-lessons").iterdir()) == []
    assert "3 files" in lessons.working_folder()[1]
