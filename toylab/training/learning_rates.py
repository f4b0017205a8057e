"""Learning-rate schedules: the share of the peak rate at the moment t, which runs from 0 to 1 over the training."""

import math

from toylab._internal import validate


def constant(t: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(t: float) -> float:
    """Half a cosine from 1 at the start to 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * validate.finite("t", t)))


def one_cycle(t: float, warm_up: float = 0.1) -> float:
    """Up a cosine from 1/25 to 1 in the first ``warm_up`` of the training, then down a cosine to 0.

    Source: Smith & Topin 2018 (arXiv:1708.07120).
    """
    t = validate.finite("t", t)
    if not 0 <= (warm_up := validate.finite("warm_up", warm_up)) < 1:
        raise ValueError(f"warm_up is {warm_up}: it is a share of the training, at least 0 and less than 1.")
    if t < warm_up:
        return 1 - (1 - 1 / 25) * cosine(t / warm_up)
    return cosine((t - warm_up) / (1 - warm_up))
