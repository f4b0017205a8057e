"""What the explorer offers: the ready densities that are drawn fast enough, and lessons on some of them."""

from dataclasses import dataclass

from toylab.densities import Density, catalogue


@dataclass(frozen=True)
class Lesson:
    """What is looked at: a density by its name, the noise, and a point."""

    density: str
    sigma: float
    point: tuple[float, float]


LESSONS = {
    "between two far modes: the score says little": Lesson("two_modes", 0.3, (0.0, -1.0)),
    "the same place with noise: now it knows the way": Lesson("two_modes", 4.0, (0.0, -1.0)),
    "a curve: the score grows like 1/σ": Lesson("circle", 0.05, (3.1, 0.0)),
    "a data set: the posterior mean snaps to a point": Lesson("points", 0.15, (2.4, 0.6)),
    "jumps: the score lives at the edges": Lesson("checkerboard", 0.1, (0.3, 1.0)),
    "much noise: all laws look alike": Lesson("ring", 10.0, (3.0, 1.0)),
}


def ready_densities() -> dict[str, Density]:
    """Those of the catalogue."""
    return {name: example.density for name, example in catalogue().items()}
