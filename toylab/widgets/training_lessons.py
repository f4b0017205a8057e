"""What the theatre offers: ready densities, and lessons on what a training learns."""

from toylab.densities import Density, isotropic, ring
from toylab.widgets.training_task import Lesson

DENSITIES: dict[str, Density] = {
    "two modes": isotropic([[-2.0, -2.0], [2.0, 2.0]], 0.8, weights=[0.2, 0.8]),
    "ring of eight": ring(radius=3.0),
    "one Gaussian": isotropic([[0.0, 0.0]], 1.0),
}
LESSONS = {
    "sliced matching, from samples alone": Lesson("two modes", "sliced"),
    "denoising learns the score of the noised law": Lesson("two modes", "denoising, σ = 0.5"),
    "too little noise: the loss is all noise": Lesson("two modes", "denoising, σ = 0.02"),
    "ReLU under a loss with derivatives learns nothing": Lesson("two modes", "implicit", activation="ReLU"),
    "few data: the loss falls and the truth runs away": Lesson("two modes", "implicit", data="30 fixed points"),
    "a rate far too large": Lesson("two modes", "explicit", learning_rate=3.0),
    "eight narrow modes take longer": Lesson("ring of eight", "sliced"),
}
