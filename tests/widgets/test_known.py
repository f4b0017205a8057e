"""How finely a law is drawn follows from the law, and not from how busy the machine is."""

import math
import time

import pytest
import torch

from toylab.densities import Density, catalogue
from toylab.widgets import known
from toylab.widgets.known import affordable_cells

SQUARE = (-5.0, 5.0, -5.0, 5.0)


class Laborious(Density):
    """N(0, I), for whose log p torch computes six numbers per point, or 2n + 9, and waits."""

    def __init__(self, n=0, seconds=0.0):
        self.n, self.seconds = n, seconds

    def log_prob(self, x, sigma=0.0):
        time.sleep(self.seconds)
        log_p = -x.square().sum(-1) / 2 - math.log(2 * math.pi)
        return log_p + (torch.zeros(*log_p.shape, self.n).cos()).sum(-1) * 0 if self.n else log_p


@pytest.mark.parametrize(("n", "cells"), [(0, 80), (100, 80), (400, 49), (1000, 31), (10_000, 20)])
def test_the_grid_is_as_fine_as_the_work_allows(monkeypatch, n, cells):
    """Up to 80 per side, and 20 at least: sqrt(2e6 / 809) = 49.7, sqrt(2e6 / 2009) = 31.6."""
    monkeypatch.setattr(known, "NUMBERS", 2e6)
    assert affordable_cells(Laborious(n), 0.0, SQUARE, 80) == cells


def test_time_does_not_count():
    assert affordable_cells(Laborious(seconds=0.02), 0.0, SQUARE, 80) == 80


def test_of_the_ready_laws_the_slow_one_is_drawn_coarser():
    cells = {name: affordable_cells(catalogue()[name].density, 0.5, SQUARE, 80) for name in ("ring", "student_t")}
    assert cells["ring"] == 80
    assert 20 < cells["student_t"] < 60  # of 130,000 numbers per point
