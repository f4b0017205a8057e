"""One class of the fractal tree by guidance and by autoguidance, with small networks."""

from collections.abc import Mapping

from toylab.experiments import guidance
from toylab.experiments.setting import Numbers, scaled_count
from toylab.metrics import Estimate
from toylab.papers.paper import Line, Paper, differs


def run(*, seed: int = 0, share: float = 1.0, progress: bool = True) -> list[Line]:
    """How much of each cloud lies outside of the class, and how far guidance takes it from the law."""
    panels = guidance.run(
        seed=seed, progress=progress, n_chains=scaled_count(1000, share, least=60), n_cells=40,
        n_training_steps=scaled_count(1500, share, least=12),
    ).numbers["panels"]  # fmt: skip
    plain, guided, autoguided, _ = guidance.LEARNED
    distance, floor = (_of(panels, name, "energy_distance") for name in (guidance.EXACT[2], guidance.TRUTH))
    outside = {name: _of(panels, name, "outside") for name in (plain, autoguided, guidance.TRUTH)}
    gains = differs(outside[plain], outside[autoguided]) and outside[autoguided].value < outside[plain].value
    return [
        Line(
            "energy distance from the class, guided by w = 4", "a picture: the twigs are lost", distance, floor, True,
            "right, and no fault of the networks: these are the exact scores"
            if differs(distance, floor)
            else "not seen: the cloud is that of the class",
        ),
        Line(
            "share outside of the class, autoguided", "a picture: few outliers, nothing lost",
            outside[autoguided], outside[guidance.TRUTH], True,
            f"{'seen' if gains else 'not seen'} with networks this small: without it {outside[plain]:.3f}",
        ),
    ]  # fmt: skip


def _of(panels: Mapping[str, Numbers], name: str, what: str) -> Estimate:
    return Estimate(panels[name][what]["value"], panels[name][what]["standard_error"])


PAPER = Paper(
    "Karras et al. 2024, Guiding a Diffusion Model with a Bad Version of Itself (arXiv:2406.02507), figure 1",
    "As `toylab figures --only guidance`: three networks of width 64 and three worse ones, 1,000 points each, 32 steps",
    run,
)
