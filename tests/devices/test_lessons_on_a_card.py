"""The code of every lesson, each of its calls of the library on a card: see ``tests/devices/lessons.py``."""

import contextlib
import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest

from tests.devices import lessons
from tests.devices.card import card

LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("*_*.ipynb"))[1:]  # the first page has no code


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:running kernel by kernel.*_OfTheCell:RuntimeWarning")  # a function of the cell's
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of matplotlib and torch
def test_every_call_of_a_lesson_runs_there(path):
    with card(), contextlib.redirect_stdout(io.StringIO()):
        lessons.run(path)
    plt.close("all")
