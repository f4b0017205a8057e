"""Step sizes: one number for all steps, or a schedule."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from toylab._internal import validate

StepSize = float | Callable[[int], float]
"""A number greater than 0, or a function of the step 0, 1, .. n_steps - 1 that gives such numbers."""


def step_sizes(step_size: StepSize, n_steps: int) -> list[float]:
    """The size of each step, [n_steps]; raise unless all are finite and greater than 0.

    Every sampler calls it before its first step, so that a bad schedule is refused before any work is done.

    >>> step_sizes(lambda k: 0.5 / 2**k, 3)
    [0.5, 0.25, 0.125]
    """
    n = validate.count("n_steps", n_steps)
    if not callable(step_size):
        if isinstance(step_size, Sequence | Tensor | np.ndarray) and np.ndim(step_size) > 0:
            raise TypeError(
                f"step_size is a {type(step_size).__name__} of several numbers: "
                "give a function of the step, such as lambda k: sizes[k]."
            )
        remedy = "Give a number greater than 0, or a function of the step 0, 1, .. n_steps - 1"
        return [validate.positive("step_size", step_size, remedy)] * n
    validate.function("step_size", step_size, "lambda k: 0.1", takes=1)
    return [validate.positive(f"step_size({k})", step_size(k)) for k in range(n)]
