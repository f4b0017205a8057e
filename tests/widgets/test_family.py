"""A family's sliders: exact values, the law that they say, and the last good picture where there is none."""

import numpy as np
import pytest
import torch

from toylab.densities import Density, isotropic, ring
from toylab.widgets import Family, film, langevin_playground, noise_ladder, score_explorer, training_theatre
from toylab.widgets.density_controls import DensityControls
from toylab.widgets.messages import Message
from toylab.widgets.rerun import parts as parts_of
from toylab.widgets.stage import Stage

WIDGETS = {
    "score_explorer": score_explorer,
    "langevin_playground": lambda densities: langevin_playground(densities, n_chains=20),
    "noise_ladder": lambda densities: noise_ladder(densities, n_chains=20),
    "training_theatre": lambda densities: training_theatre(densities, width=4, n_steps=20),
}


def gaussian(std, right=0.0):
    """N((right, 0), std^2 I), of which none has std > 2."""
    if std > 2:
        raise RuntimeError("std is to be 2 at most")
    return isotropic([[right, 0.0]], std)


FAMILY = Family(gaussian, std=(0.5, 3.0), right=[-1.0, 0.0, 1.0])


def everything(box):
    return [box, *(inner for part in parts_of(box) for inner in everything(part))]


def control(box, description):
    return next(part for part in everything(box) if getattr(part, "description", "") == description)


def the(kind, box):
    return next(part for part in everything(box) if isinstance(part, kind))


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ((0.5, 1.0), [0.5, 0.505, 0.51, 0.515, 0.52]),  # half a unit in 60 steps or more: of 0.005
        ((0.123, 6.0), [0.123, 0.15, 0.2, 0.25, 0.3]),
        ((-1.0, 1.0), [-1.0, -0.98, -0.96, -0.94, -0.92]),
        ((1e-5, 3e-5), [1e-5, 1.02e-5, 1.04e-5, 1.06e-5, 1.08e-5]),
        ((2, 9), [2, 3, 4, 5, 6]),
        ((1, 601), [1, 10, 20, 30, 40]),
        ([8, 2, 4], [2, 4, 8]),
        (np.array([0.1, 10.0]), [0.1, 10.0]),
        (torch.tensor([2, 8]), [2, 8]),
        (range(1, 3), [1, 2]),
    ],
)
def test_the_values_of_a_range_are_round_exact_and_both_ends(given, values):
    found = Family(lambda a: isotropic([[0.0, 0.0]], 1.0), a=given).values["a"]
    assert list(found[:5]) == values
    assert [type(value) for value in found[:5]] == [type(value) for value in values]
    assert found[-1] == max(given) and list(found) == sorted(set(found)) and len(found) <= 152


def test_it_begins_at_the_default_where_the_range_has_it_and_else_in_the_middle():
    """Those of ring are 8 modes, radius 4 and width 0.3."""
    rings = Family(ring, n_modes=[2, 4, 8, 16, 32], radius=(0.513, 6.0), std=(1.0, 3.0))
    assert rings.start == {"n_modes": 8, "radius": 4.0, "std": 2.0}
    assert 4.0 in rings.values["radius"]
    assert Family(ring, radius=(3.9876, 4.0123)).start == {"radius": 4.0}
    assert rings(n_modes=4, radius=2.0, std=1.5).means[1].tolist() == pytest.approx([0.0, 2.0], abs=1e-12)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.nightly) if "noise" in n else n for n in WIDGETS])
def test_a_slider_makes_the_law_anew_and_one_that_fails_keeps_the_last_picture(name):
    box = WIDGETS[name]({"mine": FAMILY, "other": isotropic([[0.0, 0.0]], 1.0)})
    std, right, stage = control(box, "std"), control(box, "right"), the(Stage, box)
    assert (std.value, right.value) == (1.76, 0.0)
    pictures = [stage.png]
    right.value = 1.0
    pictures.append(stage.png)
    std.value = 0.74
    pictures.append(stage.png)
    assert len(set(pictures)) == (1 if name == "noise_ladder" else 3)  # the law of a ladder is seen when it has run
    std.value = 2.5  # fails
    said = [part.value for part in everything(box) if isinstance(part, Message) and part.value]
    assert said == ["\N{WARNING SIGN} std = 2.5, right = 1: std is to be 2 at most"]
    assert stage.png == pictures[-1]
    std.value = 0.74
    assert not any(part.value for part in everything(box) if isinstance(part, Message))
    assert stage.png == pictures[-1]
    right.value, std.value = 0.0, 1.76
    assert stage.png == pictures[0]
    std.value = 2.5
    control(box, "density").value = "other"
    assert std.layout.display == right.layout.display == "none"
    assert not any(part.value for part in everything(box) if isinstance(part, Message))
    control(box, "density").value, std.value = "mine", 0.74
    assert std.layout.display is None


def test_the_numbers_beside_the_picture_are_those_of_the_law_that_is_set():
    """At x = (1, 2) the score of N((right, 0), (std^2 + sigma^2) I)."""
    box = score_explorer(FAMILY, extent=(-1.0, 3.0, 0.0, 8 / 3))
    the(Stage, box)._on_click(None, 1.0, 2.0)
    control(box, "noise σ (standard deviation)").value = 0.5
    for std, right in ((1.0, -1.0), (2.0, 1.0)):
        control(box, "std").value, control(box, "right").value = std, right
        v = std**2 + 0.25
        assert f"the score is ({(right - 1) / v:.3g}, {-2 / v:.3g})" in the(Stage, box).alt


def test_chains_levels_and_trainings_are_those_of_the_law_that_is_set():
    chains = langevin_playground(Family(gaussian, std=[0.5, 1.5]), n_chains=20)
    control(chains, "sampler left").value = control(chains, "sampler right").value = "MALA"
    control(chains, "std").value = 0.5
    assert "Exact: 1.00; 0.25." in the(Stage, chains).alt
    modes = Family(lambda w: isotropic([[-2.0, 0.0], [2.0, 0.0]], 1.0, weights=[1 - w, w]), w=[0.6, 0.9])
    ladder = noise_ladder(modes, n_chains=20)
    control(ladder, "w").value = 0.6
    control(ladder, "run").click()
    assert "exact 0.600" in the(Stage, ladder).alt
    theatre = training_theatre(Family(gaussian, std=[0.5, 1.5]), width=4, n_steps=20)
    control(theatre, "std").value = 1.5
    control(theatre, "train").click()
    assert control(theatre, "std").disabled
    theatre.training.join(60)
    assert not control(theatre, "std").disabled and theatre.fit.history.steps[-1] == 20
    grey = the(Stage, theatre).figure.axes[0].images[0]
    assert float(grey.get_array().max()) == pytest.approx(1 / (2 * np.pi * 2.25), rel=1e-2)


def test_a_parameter_is_filmed_and_one_of_another_family_is_not_moved_in_its_place():
    box = score_explorer({"one": FAMILY, "two": Family(ring, radius=[1.0, 3.0], std=(0.2, 0.5))})
    moving = film(box, "std", [0.5, 1.0])
    assert len(moving.frames) == 2 and control(box, "std").value == 1.0
    with pytest.raises(ValueError, match=r"control is 'radius': give the beginning of one of \["):
        film(box, "radius", [1.0])
    with pytest.raises(ValueError, match="std is to be 2 at most"):
        film(box, "std", [2.5])


def test_while_the_noise_moves_the_law_is_not_made_again():
    made = []
    controls = DensityControls({"f": Family(lambda a: made.append(a) or ring(), a=[1, 2, 3])}, "f", 100)
    made.clear()
    for value in (2, 2, 3, 3):
        controls.controls[1].value = value
        assert isinstance(controls.density(), Density)
    assert made == [2, 3]
    assert controls.key == ("f", 3)


@pytest.mark.parametrize(
    ("error", "match", "make", "ranges"),
    [
        (ValueError, "Family has no parameters", ring, {}),
        (TypeError, "make is a GaussianMixture: give what makes a density", ring(), {"radius": (1, 2)}),
        (TypeError, "radius is 3.0: give .low, high.", ring, {"radius": 3.0}),
        (TypeError, "radius is .1, 2, 3.: give .low, high.", ring, {"radius": (1, 2, 3)}),
        (TypeError, "radius is 'ab': give .low, high.", ring, {"radius": "ab"}),
        (TypeError, "radius is 'a': it must be a number", ring, {"radius": ["a", "b"]}),
        (TypeError, "radius is True: it must be a number", ring, {"radius": [True]}),
        (ValueError, "radius is .2, 1.: give .low, high. with low < high", ring, {"radius": (2, 1)}),
        (ValueError, "radius is inf: it must be a finite number", ring, {"radius": (1.0, float("inf"))}),
        (ValueError, "radius is empty", ring, {"radius": []}),
        (TypeError, "make cannot be called with radus: .*'radus'. Give a range to each", ring, {"radus": (1, 2)}),
        (TypeError, "make cannot be called with a: missing a required argument: 'b'", lambda a, b: ring(), {"a": [1]}),
        (ValueError, "radius = -1: radius is -1", ring, {"radius": [-1]}),
        (TypeError, "a = 1: make gives a int. It must give a density", lambda a: a, {"a": [1]}),
    ],
)
def test_bad_input_is_refused_with_a_remedy(error, match, make, ranges):
    with pytest.raises(error, match=match):
        Family(make, **ranges)
