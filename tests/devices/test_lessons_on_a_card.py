"""The code of the lessons that are quick there, each of its calls of the library on a card; all: see ``lessons.py``."""

import contextlib
import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest

from tests.devices import lessons
from tests.devices.card import card

QUICK = ("01_scores", "02_langevin", "05_noise_levels")


@pytest.mark.nightly
@pytest.mark.parametrize("name", QUICK)
@pytest.mark.filterwarnings(*lessons.IGNORED)
def test_every_call_of_a_lesson_runs_there(name):
    with card(), contextlib.redirect_stdout(io.StringIO()):
        lessons.run(lessons.LESSONS / f"{name}.ipynb")
    plt.close("all")
