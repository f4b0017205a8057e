"""The notebooks as they are committed: executed, whole, small. That their outputs are right is nbval's to say."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_executed_whole_and_small(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert path.stat().st_size < 1_500_000


def test_the_first_page_lists_every_lesson_with_its_picture():
    (start, *lessons) = NOTEBOOKS
    assert start.stem == "00_start_here"
    (page,) = json.loads(start.read_text())["cells"]
    text = "".join(page["source"])
    listed = re.findall(r"^\| \[.*?\]\((\w+)\.ipynb\) \|.*!\[.+\]\(pictures/(\w+)\.png\) \|$", text, re.MULTILINE)
    assert [name for name, _ in listed] == [path.stem for path in lessons]
    for name, picture in listed:
        assert name == picture
        assert (start.parent / "pictures" / f"{picture}.png").stat().st_size < 100_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_that_draws_shows_a_picture(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code" and "plotting.look()" in "".join(cell["source"]):
            assert any("image/png" in output.get("data", {}) for output in cell["outputs"]), cell["source"]
