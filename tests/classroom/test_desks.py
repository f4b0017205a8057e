import pytest

from toylab.classroom import desks
from toylab.classroom.lessons import FIRST_PAGE


@pytest.fixture
def lessons(tmp_path):
    for name in (FIRST_PAGE, "01_scores.ipynb"):
        (tmp_path / name).write_text('{"cells": []}')
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.png").write_bytes(b"")
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "player.html").write_text("of a handout")
    return tmp_path


def test_each_has_a_copy_that_others_do_not_touch_and_that_stays(lessons):
    ada, bob = desks.own_copy(lessons, "Ada"), desks.own_copy(lessons, "bob")
    assert ada == lessons / "students" / "ada"
    (ada / FIRST_PAGE).write_text("what Ada has done")
    assert desks.own_copy(lessons, " ADA ") == ada
    assert (ada / FIRST_PAGE).read_text() == "what Ada has done"
    assert "what" not in (bob / FIRST_PAGE).read_text() + (lessons / FIRST_PAGE).read_text()
    assert (bob / "pictures" / "one.png").is_file()
    assert (bob / "live" / "player.html").read_text() == "of a handout"


@pytest.mark.parametrize(
    ("name", "folder"),
    [("Ada Lovelace", "ada-lovelace"), ("../../etc", "etc"), ("Émile Borel", "émile-borel"), ("李雷", "李雷")],
)
def test_a_name_becomes_a_folder_within_the_class(name, folder):
    assert desks.desk_name(name) == folder


@pytest.mark.parametrize("name", ["", "  ", "..", "/", "___", "a" * 41])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="letter or a digit in it, and at most 40"):
        desks.desk_name(name)


def test_a_copy_that_cannot_be_written_is_told(lessons):
    (lessons / "students").write_text("a file")
    with pytest.raises(ValueError, match="cannot be copied to students/ada"):
        desks.own_copy(lessons, "ada")


def test_it_says_for_how_many_there_is_memory():
    assert desks.room_for(4.6).startswith("The memory that is free, 4.6 GB, is enough for 13 open lessons at 0.35 GB")
    assert "is enough for" in desks.room_for()
