"""Each check lets the good through unchanged and says what is wrong with the rest."""

import math

import numpy as np
import pytest
import torch

from toylab._internal import validate
from toylab.networks import ScoreMLP


def test_positive():
    assert validate.positive("step", 2) == 2.0
    for bad in (0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=rf"step is {bad}: .*greater than 0. Give a number greater than 0\."):
            validate.positive("step", bad)
    with pytest.raises(ValueError, match=r"Halve it\.$"):
        validate.positive("step", 0, "Halve it")
    with pytest.raises(TypeError, match="step is 'big': it must be a number"):
        validate.positive("step", "big")


def test_finite():
    assert validate.finite("angle", -3) == -3.0
    for bad in (math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match=f"angle is {bad}: it must be a finite number"):
            validate.finite("angle", bad)
    with pytest.raises(TypeError, match="angle is None: it must be a number"):
        validate.finite("angle", None)


def test_count():
    assert validate.count("n", 1) == 1
    assert validate.count("n", 0, least=0) == 0
    with pytest.raises(ValueError, match="n is 1: it must be at least 2"):
        validate.count("n", 1, least=2)
    for bad in (2.0, True, "3", None):
        with pytest.raises(TypeError, match="whole number"):
            validate.count("n", bad)


def test_points():
    for shape in [(2,), (0, 2), (5, 2), (3, 4, 2)]:
        x = torch.zeros(shape)
        assert validate.points("x", x) is x
    for shape in [(), (3,), (2, 3), (2, 1)]:
        with pytest.raises(ValueError, match=r"x has shape \[.*\]: the last dimension must be 2"):
            validate.points("x", torch.zeros(shape))
    with pytest.raises(TypeError, match=r"x has dtype torch.int64: .*Give x.float\(\)"):
        validate.points("x", torch.tensor([1, 2]))
    with pytest.raises(TypeError, match="x is a list: give a torch tensor"):
        validate.points("x", [0.0, 1.0])


def test_cloud():
    x = torch.zeros(3, 2)
    assert validate.cloud("data", x) is x
    for shape in [(2,), (0, 2), (2, 3, 2)]:
        with pytest.raises(ValueError, match="data has shape .*non-empty cloud"):
            validate.cloud("data", torch.zeros(shape))
    with pytest.raises(TypeError, match="data has dtype torch.int64"):
        validate.cloud("data", torch.zeros(3, 2, dtype=torch.int64))


@pytest.mark.parametrize("good", [0, 0.0, 2, 1e-3])
def test_noise_level_as_a_number(good):
    level = validate.noise_level(good, torch.zeros(5, 2))
    assert isinstance(level, float)
    assert level == good


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_noise_level_refuses_a_bad_number(bad):
    with pytest.raises(ValueError, match=f"sigma is {bad}: a noise level is a standard deviation, .*v \\*\\* 0.5"):
        validate.noise_level(bad, torch.zeros(5, 2))


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1), (1, 4), (3, 4)])
def test_noise_level_as_a_tensor_follows_x(shape):
    x = torch.zeros(3, 4, 2)
    level = validate.noise_level(torch.ones(shape, dtype=torch.float64), x)
    assert level.shape == shape
    assert level.dtype == x.dtype


@pytest.mark.parametrize("shape", [(3,), (5, 3, 4), (3, 4, 1), (4, 3)])
def test_noise_level_refuses_a_tensor_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"sigma has shape .* for x of shape \[3, 4, 2\]: .*broadcasts to \[3, 4\]"):
        validate.noise_level(torch.ones(shape), torch.zeros(3, 4, 2))


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_noise_level_refuses_a_tensor_with_a_bad_level(bad):
    with pytest.raises(ValueError, match="sigma holds a negative or non-finite level"):
        validate.noise_level(torch.tensor([1.0, bad]), torch.zeros(2, 2))


def test_noise_level_refuses_words():
    with pytest.raises(TypeError, match="sigma is 'small': it must be a number"):
        validate.noise_level("small", torch.zeros(2, 2))


def test_levels():
    sigmas = torch.tensor([3.0, 2.0, 0.5])
    assert validate.levels("sigmas", sigmas) is sigmas
    assert validate.levels("sigmas", sigmas[:1]).tolist() == [3.0]
    for bad, said in [
        ([3.0, 2.0], "sigmas is list: give a 1-D tensor"),
        (torch.ones(2, 2), r"sigmas is \[2, 2\]: give a 1-D tensor"),
        (torch.ones(0), r"sigmas is \[0\]: give a 1-D tensor"),
        (torch.tensor([1.0, 2.0]), "levels must strictly decrease"),
        (torch.tensor([2.0, 2.0]), "levels must strictly decrease"),
        (torch.tensor([2.0, 0.0]), "every noise level must be finite and greater than 0"),
        (torch.tensor([2.0, math.nan]), "every noise level must be finite and greater than 0"),
        (torch.tensor([math.inf, 1.0]), "every noise level must be finite and greater than 0"),
    ]:
        with pytest.raises(ValueError, match=said):
            validate.levels("sigmas", bad)


@pytest.mark.parametrize("five", [5, np.int64(5), np.uint8(5), np.array(5), torch.tensor(5), torch.tensor(5).short()])
def test_whole_numbers_of_other_libraries_become_ints(five):
    found = validate.count("n", five)
    assert found == 5 and type(found) is int


@pytest.mark.parametrize(
    "other",
    [True, np.True_, np.array(True), torch.tensor(True), 5.0, np.float32(5), torch.tensor(5.0), "5", None,
     np.array([5]), torch.tensor([5]), torch.tensor(5, device="meta")],
    ids=repr,
)  # fmt: skip
def test_what_is_no_whole_number_is_refused(other):
    with pytest.raises(TypeError, match=r"n is .*: it must be a whole number \(int\) of at least 1\."):
        validate.count("n", other)


@pytest.mark.parametrize("half", [0.5, np.float64(0.5), np.float16(0.5), np.array(0.5), torch.tensor(0.5).bfloat16()])
def test_numbers_of_other_libraries_become_floats(half):
    found = [validate.positive("h", half), validate.finite("h", half), validate.nonzero("h", half)]
    found += [validate.temperature(half), *validate.pair("h", [half, half]), *validate.extent("h", [0, half, 0, half])]
    assert {type(number) for number in found} == {float} and set(found) == {0.0, 0.5}


@pytest.mark.parametrize("box", [(0, math.nan, 0, 1), (math.nan, 1, 0, 1), (0, 1, 0, np.nan)])
def test_a_side_that_is_nan_is_told_what_a_side_can_be(box):
    """Not that it must be finite, where it need not be."""
    with pytest.raises(ValueError, match=r"nan.*: a side is a number, or math\.inf or -math\.inf where there is none"):
        validate.extent("box", box, infinite=True)
    with pytest.raises(ValueError, match="it must be a finite number"):
        validate.extent("extent", box)
    assert validate.extent("box", (0, math.inf, -math.inf, 1), infinite=True) == (0, math.inf, -math.inf, 1)


def test_function():
    assert validate.function("score", len, "p.score") is len
    with pytest.raises(TypeError, match=r"score is a Tensor: give a function, for example p\.score"):
        validate.function("score", torch.ones(2), "p.score")
    with pytest.raises(TypeError, match=r"score is the class ScoreMLP: give an instance, ScoreMLP\(\)"):
        validate.function("score", ScoreMLP, "p.score")

    class Trained:
        network = abs

    with pytest.raises(TypeError, match=r"score is a Trained: give its network, as in trained\.network"):
        validate.function("score", Trained(), "p.score")


def test_score():
    def of_x(x):
        return x

    def of_both(x, sigma):
        return x

    def of_either(x, sigma=0.0):
        return x

    for good in (of_x, of_either, torch.neg):  # the last, written in C, does not tell what it takes
        assert validate.score("score", good) is good
    for good in (of_both, of_either, torch.neg):
        assert validate.score("score", good, of_sigma=True) is good
    with pytest.raises(TypeError, match=r"which cannot be called as s\(x\): fix its .* toylab\.score\.at\(s, sigma\)"):
        validate.score("s", of_both)
    with pytest.raises(TypeError, match=r"which cannot be called as score\(x, sigma\): give a score of every noise"):
        validate.score("score", of_x, of_sigma=True)
    with pytest.raises(TypeError, match=r"score is a Tensor: give a function, for example p\.score"):
        validate.score("score", torch.ones(2))


def test_times():
    assert validate.times("times", torch.tensor([1.0, 0.5, 0.25]), 0.25) == [1.0, 0.5, 0.25]
    assert validate.times("times", torch.tensor([0.0, 1.0]), 0.0, rising=True) == [0.0, 1.0]
    just_outside = torch.tensor([1 + 1e-7, 0.5, 1e-3 - 1e-9], dtype=torch.float64)
    assert validate.times("times", just_outside, 1e-3) == [1.0, 0.5, 1e-3]
    for bad in (torch.tensor([1.1, 0.5]), torch.tensor([1.0, 0.1]), torch.tensor([1.0, math.nan, 0.5])):
        with pytest.raises(ValueError, match=r"times lie in \[0.2, 1\]. A grid of noise levels\? .*sde.time_of"):
            validate.times("times", bad, 0.2)
    for bad in (torch.tensor([0.5, 1.0]), torch.tensor([1.0, 0.5, 0.5])):
        with pytest.raises(ValueError, match=r"does not strictly fall. Turn a grid round with .flip\(0\)"):
            validate.times("times", bad, 0.2)
    with pytest.raises(ValueError, match="does not strictly rise"):
        validate.times("times", torch.tensor([1.0, 0.5]), 0.0, rising=True)
    for bad in (torch.tensor(1.0), torch.tensor([1.0]), torch.ones(3, 2), [1.0, 0.5], 0.5):
        with pytest.raises(ValueError, match="times is .*: give a 1-D tensor of at least 2 times"):
            validate.times("times", bad, 0.0)
