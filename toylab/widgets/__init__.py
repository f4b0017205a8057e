"""Controls for the classroom, in JupyterLab: thin layers over samplers and plotting, with no maths of their own."""

from toylab.widgets.animate import animate
from toylab.widgets.diffusion_film import Film, diffusion_film, filmed
from toylab.widgets.langevin_playground import langevin_playground
from toylab.widgets.noise_ladder import noise_ladder
from toylab.widgets.score_explorer import score_explorer
from toylab.widgets.training_theatre import TrainingTheatre, training_theatre

__all__ = [
    "Film",
    "TrainingTheatre",
    "animate",
    "diffusion_film",
    "filmed",
    "langevin_playground",
    "noise_ladder",
    "score_explorer",
    "training_theatre",
]
