"""What the playground offers: ready densities, and lessons that compare two samplers on one of them."""

from dataclasses import dataclass

from toylab.densities import isotropic, ring

DENSITIES = {
    "two far modes": isotropic([[-2.5, -2.5], [2.5, 2.5]], 0.5, weights=[0.2, 0.8]),
    "two near modes": isotropic([[-1.0, -1.0], [1.0, 1.0]], 0.6, weights=[0.2, 0.8]),
    "ring of eight": ring(),
    "one Gaussian of variance 1": isotropic([[0.0, 0.0]], 1.0),
}


@dataclass(frozen=True)
class Setting:
    """A sampler, its step size, and whether its noise is on."""

    sampler: str
    step_size: float
    noise: bool = True


@dataclass(frozen=True)
class Lesson:
    """What is compared: a density by its name, two settings, and where the chains start (None: everywhere)."""

    density: str
    first: Setting
    second: Setting
    start: tuple[float, float] | None = None


LESSONS = {
    "two far modes: Langevin cannot move the weights": Lesson(
        "two far modes", Setting("Langevin", 0.05), Setting("annealed Langevin", 0.01)
    ),
    "all start in the lesser mode": Lesson(
        "two far modes", Setting("MALA", 0.2), Setting("annealed Langevin", 0.01), (-2.5, -2.5)
    ),
    "two near modes: here Langevin does find them": Lesson(
        "two near modes", Setting("Langevin", 0.1), Setting("HMC, 10 leapfrogs", 0.1), (-1.0, -1.0)
    ),
    "step too large: Langevin is too wide, MALA is right": Lesson(
        "one Gaussian of variance 1", Setting("Langevin", 2.0), Setting("MALA", 2.0)
    ),
    "step far too large: Langevin loses the law, MALA hardly moves": Lesson(
        "ring of eight", Setting("Langevin", 0.5), Setting("MALA", 0.5)
    ),
    "without noise: ascent to the peaks, and no law": Lesson(
        "ring of eight", Setting("Langevin", 0.05, noise=False), Setting("Langevin", 0.05)
    ),
}
