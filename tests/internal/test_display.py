"""Tables of results, in a notebook and as text."""

from xml.etree import ElementTree

from toylab._internal.display import html_table, text_table


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
