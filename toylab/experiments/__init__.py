"""The reference figures as recipes: ``run`` computes a ``Result`` of arrays and numbers, ``draw`` makes it a figure.

``EXPERIMENTS`` lists them all.
"""

from functools import partial

from toylab.experiments import (
    anatomy,
    annealing,
    bayes,
    blame,
    bugs,
    diffusion,
    efficiency,
    estimation,
    failures,
    fields,
    gallery,
    gradients,
    guidance,
    likelihood,
    nats,
    objectives,
    posterior,
    posterior_tables,
    reference,
    samplers,
)
from toylab.experiments.experiment import Experiment
from toylab.experiments.result import Result

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Result",
    "anatomy",
    "annealing",
    "bayes",
    "blame",
    "bugs",
    "diffusion",
    "efficiency",
    "estimation",
    "failures",
    "fields",
    "gallery",
    "gradients",
    "guidance",
    "likelihood",
    "nats",
    "objectives",
    "posterior",
    "reference",
    "samplers",
]

EXPERIMENTS = {
    "gallery": Experiment(
        "every density of the catalogue, clean and at three noise levels, with its score",
        gallery.run, partial(gallery.run, n_cells=20), gallery.draw, drawn_by_default=True,
    ),
    "fields": Experiment(
        "Figure 1: densities and their score fields",
        fields.run, fields.run, fields.draw, drawn_by_default=True,
    ),
    "estimation": Experiment(
        "Figure 2: the exact score, the score learned by sliced score matching, and their difference",
        estimation.run, partial(estimation.run, n_reference_steps=60, n_networks=2), estimation.draw,
        drawn_by_default=True,
    ),
    "annealing": Experiment(
        "Figure 3: why annealing; who recovers the weights of two modes",
        annealing.run,
        partial(
            annealing.run, n_chains=100, n_repeats=2, n_training_steps=50, n_steps=50, n_steps_per_level=5,
            n_networks=2,
        ),
        annealing.draw, drawn_by_default=True,
    ),
    "reference": Experiment(
        "the reference experiment of 2019 over many seeds, beside the samplers' own exact laws",
        reference.run, partial(reference.run, n_repeats=4), reference.draw,
    ),
    "blame": Experiment(
        "whose fault a wrong sample is: the error of two samplers with four scores, in parts",
        blame.run, partial(blame.run, n_chains=100, n_data=20, n_training_steps=20, n_steps=40, n_networks=2),
        blame.draw,
    ),
    "bayes": Experiment(
        "a posterior from one datum at a time: stochastic-gradient Langevin with falling steps, beside MALA",
        bayes.run, partial(bayes.run, n_chains=20, n_steps=1000), bayes.draw,
    ),
    "bugs": Experiment(
        "the bug museum: samplers that look right, and the number that gives them away",
        bugs.run, partial(bugs.run, n_chains=200, n_steps=50), bugs.draw,
    ),
    "samplers": Experiment(
        "quality of every diffusion sampler against the evaluations it spends",
        samplers.run,
        partial(
            samplers.run, n_chains=60, n_networks=2, n_training_steps=20, budgets=(48,), densities=("ring",)
        ),
        samplers.draw, densities=tuple(samplers.DENSITIES),
    ),
    "likelihood": Experiment(
        "log-densities of learned scores by their flow, beside the exact ones",
        likelihood.run, partial(likelihood.run, n_cells=8, n_points=20, n_networks=2, n_training_steps=20, rtol=1e-3),
        likelihood.draw,
    ),
    "nats": Experiment(
        "trained for likelihood or not, in nats; and the ELBOs that a weighted loss is made of",
        nats.run, partial(nats.run, n_training_steps=20, n_networks=2, rtol=1e-1), nats.draw,
    ),
    "guidance": Experiment(
        "what guidance does to a class whose support is known, by exact scores and by learned ones",
        guidance.run, partial(guidance.run, n_chains=60, n_networks=2, n_training_steps=12, n_cells=40),
        guidance.draw,
    ),
    "diffusion": Experiment(
        "the flow of a diffusion through time: exact, of a few data points, and learned",
        diffusion.run,
        partial(diffusion.run, n_paths=9, n_training_steps=20, n_networks=2, times=(1.0, 0.3, 0.1, 0.01)),
        diffusion.draw,
    ),
    "anatomy": Experiment(
        "what a learned field is made of: its curl, and how its noise levels fit together",
        anatomy.run, partial(anatomy.run, n_training_steps=20, n_networks=2, n_points=50, n_cells=12), anatomy.draw,
    ),
    "failures": Experiment(
        "five known failures of score matching, each beside its remedy",
        failures.run, partial(failures.run, n_networks=2, share=0.01), failures.draw,
    ),
    "gradients": Experiment(
        "how noisy the gradient of each objective is, and what it costs",
        gradients.run, partial(gradients.run, n_training_steps=5, n_networks=2, n_batches=3), gradients.draw,
    ),
    "efficiency": Experiment(
        "what score matching costs: the error of every estimator of one parameter, exact and over 2,000 fits",
        efficiency.run, partial(efficiency.run, n_repeats=40, n_points=500, n_cells=6), efficiency.draw,
    ),
    "posterior": Experiment(
        "a measurement, and what samplers that know of it really sample, beside the exact posterior; with its table",
        posterior.run,
        partial(posterior.run, n_chains=60, n_networks=2, n_training_steps=20, n_repeats=8, budgets=(8,),
                n_reference_steps=16),
        posterior.draw, table=posterior_tables.tables,
    ),
    "objectives": Experiment(
        "every objective trained and measured exactly by what it stands for; with its table",
        objectives.run,
        partial(objectives.run, n_networks=2, share=0.0003, n_cells=100, densities=("two_modes",)),
        objectives.draw, table=objectives.table, densities=tuple(objectives.targets()),
    ),
}  # fmt: skip
"""Every experiment by its name; ``toylab figures`` draws those that it draws by default in this order."""
