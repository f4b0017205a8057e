"""Tables of results, in a notebook and as text."""

from xml.etree import ElementTree

import numpy as np
import torch

from toylab._internal.display import html_table, reason, short, text_table


def test_a_table_has_a_row_per_pair_and_shows_any_text_as_it_is() -> None:
    rows = [("chains", "1,280"), ("a < b", 'an "& odd" <script>value</script>')]
    table = ElementTree.fromstring(html_table(rows))
    assert [(row.find("th").text, row.find("td").text) for row in table.iter("tr")] == rows


def test_a_table_of_no_rows_is_a_table() -> None:
    assert ElementTree.fromstring(html_table([])).tag == "table"


def test_the_same_rows_as_text() -> None:
    assert text_table("Chains", [("chains", "1,280"), ("diverged", "none")]) == (
        "Chains\n    chains    1,280\n    diverged  none"
    )
    assert text_table("Chains", []) == "Chains"


def test_short() -> None:
    assert short([0.5, 1]) == "[0.5, 1]" and short("abc") == "'abc'" and short(np.float64(0.5)) == "0.5"
    for long in (
        [[0.5] * 30] * 30,
        "a b " * 500,
        10**400,
        10**5000,
        dict.fromkeys(range(20), "x" * 50),
        torch.ones(50, 2),
    ):
        assert len(short(long)) <= 101 and "\n" not in short(long)


def test_the_reason_of_an_error_of_others_is_its_first_line() -> None:
    assert reason(ValueError("no such thing.\nDetails")) == "no such thing"
    assert len(reason(ValueError("x" * 1000))) < 210
