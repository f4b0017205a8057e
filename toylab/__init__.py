"""A laboratory for score-based generative modelling in two dimensions, where every answer is known exactly."""

from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

from toylab._internal.warn import ToylabWarning

if TYPE_CHECKING:
    from toylab import (
        densities,
        discrete,
        guidance,
        metrics,
        networks,
        objectives,
        paths,
        samplers,
        schedules,
        score,
        sde,
        testing,
        training,
    )
    from toylab import experiments as experiments
    from toylab import museum as museum
    from toylab import plotting as plotting
    from toylab import study as study
    from toylab import widgets as widgets

__version__ = version("toylab")

__all__ = [
    "ToylabWarning",
    "densities",
    "discrete",
    "guidance",
    "metrics",
    "networks",
    "objectives",
    "paths",
    "samplers",
    "schedules",
    "score",
    "sde",
    "testing",
    "training",
]

# not in __all__, so that `from toylab import *` loads no matplotlib and needs no extra
_NOT_BY_STAR = ("experiments", "museum", "plotting", "study", "widgets")
_EXTRAS = {"IPython": "lab", "anywidget": "lab", "ipywidgets": "lab"}


def __getattr__(name: str) -> ModuleType:
    """Each room is imported at its first use (PEP 562), and torch with it: the command answers before that."""
    if name not in (*__all__, *_NOT_BY_STAR):
        raise AttributeError(f"module 'toylab' has no attribute {name!r}")
    try:
        return import_module(f"toylab.{name}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _EXTRAS:
            raise
        remedy = f'pip install "toylab[{_EXTRAS[missing]}]"'
        raise ModuleNotFoundError(f"toylab.{name} needs {missing}: {remedy}", name=missing) from None


def __dir__() -> list[str]:
    return sorted([*__all__, *_NOT_BY_STAR, "__version__"])
