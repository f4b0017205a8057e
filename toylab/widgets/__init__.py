"""Controls for the classroom, in JupyterLab: thin layers over samplers and plotting, with no maths of their own.

Each instrument is three files: what is computed (no widgets, no figures), its picture, and its controls.
"""

try:
    import anywidget as _anywidget
    import ipywidgets as _ipywidgets
except ModuleNotFoundError as error:
    missing = str(error.name).partition(".")[0]
    raise ModuleNotFoundError(f'toylab.widgets needs {missing}: pip install "toylab[lab]"', name=missing) from None

from toylab.widgets.animate import Animation, animate
from toylab.widgets.diffusion_film import diffusion_film
from toylab.widgets.diffusion_states import Film, record_film
from toylab.widgets.family import Family
from toylab.widgets.film import film
from toylab.widgets.langevin_playground import langevin_playground
from toylab.widgets.live_instruments import live_editor, live_film, live_playground, live_trainer
from toylab.widgets.noise_ladder import noise_ladder
from toylab.widgets.score_explorer import score_explorer
from toylab.widgets.training_theatre import TrainingTheatre, training_theatre

del _anywidget, _ipywidgets

__all__ = [
    "Animation",
    "Family",
    "Film",
    "TrainingTheatre",
    "animate",
    "diffusion_film",
    "film",
    "langevin_playground",
    "live_editor",
    "live_film",
    "live_playground",
    "live_trainer",
    "noise_ladder",
    "record_film",
    "score_explorer",
    "training_theatre",
]
