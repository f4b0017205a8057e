"""Controls for the classroom, in JupyterLab: thin layers over samplers and plotting, with no maths of their own."""

from toylab.widgets.diffusion_film import Film, diffusion_film, filmed

__all__ = ["Film", "diffusion_film", "filmed"]
