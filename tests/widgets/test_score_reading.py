"""Readings are closed forms."""

import numpy as np
import pytest

from toylab.densities import isotropic
from toylab.widgets.score_reading import read_score

P = isotropic([[1.0, -1.0]], 0.5)


def test_readings_are_the_closed_forms_of_a_gaussian():
    """N(m, v) noised: score (m - x) / (v + s^2), posterior mean (s^2 m + v x) / (v + s^2)."""
    for sigma in (0.01, 0.7, 10.0):
        v, x = 0.25 + sigma**2, (2.0, 3.0)
        known = read_score(P, sigma, x)
        assert known.score == pytest.approx([(m - a) / v for m, a in zip((1, -1), x, strict=True)], rel=1e-12)
        assert known.mean == pytest.approx(
            [(sigma**2 * m + 0.25 * a) / v for m, a in zip((1, -1), x, strict=True)], rel=1e-9
        )
        assert known.log_prob == pytest.approx(-((1 + 16) / (2 * v)) - np.log(2 * np.pi * v), rel=1e-12)
