"""What the ladder offers: ready densities, and lessons on what goes wrong with a ladder."""

from toylab.densities import GaussianMixture, isotropic, two_modes
from toylab.widgets.noise_descent import Ladder

_PAPER = "two far modes, as in the paper"
DENSITIES = {
    _PAPER: two_modes(),
    "two near modes": isotropic([[-1.5, -1.5], [1.5, 1.5]], 1.0, weights=[0.2, 0.8]),
    "a narrow mode and a wide one": GaussianMixture(
        [0.3, 0.7], [[-4.0, -4.0], [3.0, 3.0]], [[[0.04, 0.0], [0.0, 0.04]], [[2.0, 0.0], [0.0, 2.0]]]
    ),
}
LESSONS = {
    "the ladder of the paper": Ladder(_PAPER, 10, 20.0, 1.0),
    "the first level too small: the start is never forgotten": Ladder(_PAPER, 10, 2.0, 1.0),
    "the last level too large: blurred": Ladder(_PAPER, 10, 20.0, 4.0),
    "too few levels for the steps": Ladder(_PAPER, 2, 20.0, 0.3, 20),
    "too few steps per level": Ladder(_PAPER, 10, 20.0, 1.0, 3),
    "one level alone: plain Langevin": Ladder(_PAPER, 1, 1.0, 1.0, 500),
    "a narrow mode is found last": Ladder("a narrow mode and a wide one", 12, 20.0, 0.1),
}
