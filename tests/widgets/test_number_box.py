"""What is typed into a box for a number is read as meant or refused in a sentence, and the last good number stays."""

import math

import pytest

from toylab.widgets.number_box import number_box, read_number, read_seed, seed_box


def box():
    return number_box(0.1, "step size ε", least=1e-6, most=100.0, step=0.01, width=170)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,5", 1.5), ("1.5", 1.5), (" 2 ", 2.0), ("1e-3", 0.001), ("1,5e-3", 0.0015), (".5", 0.5), (",5", 0.5),
        ("5.", 5.0), ("+3", 3.0), ("0,001", 0.001), ("100", 100.0), ("1E1", 10.0), ("1.000", 1.0), ("1000e-3", 1.0),
    ],
)  # fmt: skip
def test_a_number_is_read_as_meant_and_shown_as_read(text, number):
    heard, typed = [], box()
    typed.observe(lambda change: heard.append(change["new"]), "value")
    typed.text = text
    assert (typed.value, heard, typed.message) == (number, [number], "")
    assert float(typed.text) == number


@pytest.mark.parametrize(
    "text",
    ["abc", "", "  ", "nan", "inf", "-inf", "1e20", "1e999", "0", "-1", "\N{MINUS SIGN}1", "1_0", "0x1", "1/2",
     "1,2,3", "1.2,3", "1 2", ".", ",", "e5", "1e", "--1", "100.1"],
)  # fmt: skip
def test_what_is_no_number_or_outside_is_refused_and_the_last_one_stays(text):
    heard, typed = [], box()
    typed.text = "0,3"
    typed.observe(heard.append, "value")
    typed.text = text
    assert (typed.value, heard) == (0.3, [])
    assert f"step size ε is {text.strip() or 'empty'}: " in typed.message
    assert "give a number from 1e-06 to 100. 0.3 stays in use." in typed.message
    assert typed.text == text  # to be mended where it is
    typed.value = 0.3  # as a lesson sets it
    assert (typed.text, typed.message) == ("0.3", "")


@pytest.mark.parametrize(("text", "ways"), [("1,000", "write 1000, or 1.000"), ("-12,345", "write -12345, or -12.345")])
def test_a_comma_that_can_be_read_in_two_ways_is_asked_about(text, ways):
    for read in (lambda t: read_number(t, -1e6, 1e6), read_seed):
        with pytest.raises(ValueError, match=ways):
            read(text)


@pytest.mark.parametrize("number", [1 / 3, 0.1 + 0.2, 1e-6, 5e-5, 99.99999999999999, 2.0, math.pi])
def test_a_number_that_is_set_is_kept_to_the_last_bit(number):
    typed = box()
    typed.value = number
    assert typed.value == number
    typed.text, typed.text = "abc", typed.text  # the front end sends back what it was shown
    assert (typed.value, typed.message) == (number, "")


def test_a_negative_number_may_be_written_with_the_sign_of_print():
    assert read_number("\N{MINUS SIGN}2,5", -5.0, 5.0) == read_number("-2.5", -5.0, 5.0) == -2.5


def test_a_bad_number_cannot_be_set():
    typed = box()
    for bad in (-1.0, math.nan, 1e20):
        with pytest.raises(ValueError, match="give a number from 1e-06 to 100"):
            typed.value = bad
    assert (typed.value, typed.text) == (0.1, "0.1")


def test_seeds_are_whole_numbers():
    seed = seed_box()
    for text, number in (("3", 3), ("1e3", 1000), ("2,0", 2), ("1000000000000", 10**12)):
        seed.text = text
        assert (seed.value, type(seed.value), seed.message) == (number, int, "")
    for text in ("-1", "1.5", "1e20", "1000000000001", "nan", "", "one"):
        seed.text = text
        assert "give a whole number from 0 to 10^12. 1000000000000 stays in use." in seed.message
        assert seed.value == 10**12
