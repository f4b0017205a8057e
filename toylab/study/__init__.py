"""Studies: one function over a grid of settings, on all cores or a cluster, going on where it was when it is killed.

    def cell(density, step_size, seed, generator):
        ...
        return {"w2": w2, "acceptance": acceptance}

    table = study.run(cell, {"density": [...], "step_size": [0.1, 1.0], "seed": range(5)}, out="study")

``run`` computes what is missing and returns the table; ``states`` says what is done, failed or missing; ``arrays``
reads the arrays of a cell; ``summary`` and ``to_xarray`` take the table further. ``toylab study FILE.py --out DIR`` is
``run`` of the ``cell`` and the ``grid`` in a file. It needs the extra ``study``.
"""

try:
    import cloudpickle  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
    import xarray  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'toylab.study needs {error.name}: pip install "toylab[study]"', name=error.name
    ) from None

from toylab.study.run import run
from toylab.study.table import arrays, states, summary, to_xarray

__all__ = ["arrays", "run", "states", "summary", "to_xarray"]
