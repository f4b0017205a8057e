"""The pages of the live lab as text; what they do is tested in a browser."""

import base64
import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from toylab import cli, densities, live

MODULES = sorted(
    path.name[:-3] for path in (live.files("toylab") / "widgets" / "live").iterdir() if path.suffix == ".js"
)
FIRST = re.compile(r"^(?:const|let|function|class) (\w+)(.*)", re.MULTILINE)
FURTHER = re.compile(r", ([A-Z_]+) = ")  # constants on the same line


def declared(script):
    """The names that a script declares at its top level."""
    return [name for first, rest in FIRST.findall(script) for name in (first, *FURTHER.findall(rest))]


@pytest.mark.parametrize("name", MODULES)
def test_a_script_has_each_module_once_and_after_what_it_needs(name):
    script = live.script(name)
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    names = declared(script)
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    needed = live.script(name, *MODULES)
    assert needed.startswith(script)
    assert len(declared(needed)) == len(set(declared(needed)))  # all of them fit into one script


def test_every_module_is_part_of_an_instrument():
    used = {name for shown in live.INSTRUMENTS.values() for name in declared(live.script(shown.module))}
    assert used == set(declared(live.script(*MODULES)))


def test_a_module_that_is_not_there():
    with pytest.raises(ValueError, match="no module 'nothing'.*'mixture'"):
        live.script("mixture", "nothing")
    with pytest.raises(ValueError, match="no instrument 'nothing': give one of playground"):
        live.page("nothing")


@pytest.mark.parametrize("name", live.INSTRUMENTS)
def test_a_page_holds_all_it_needs_and_lets_nothing_else_in(name):
    page = live.page(name)
    assert len(page.encode()) <= 500_000
    assert "http:" not in page and "https:" not in page and "eval(" not in page and "innerHTML" not in page
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    for tag, source in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy


def test_the_weights_of_the_pages_are_those_recorded():
    """Which the page about them tells: to a twentieth, so that not each new line is to be weighed."""
    found = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / "live.json").read_text())["page, kB"]
    assert found == pytest.approx({name: len(live.page(name).encode()) / 1000 for name in live.INSTRUMENTS}, rel=0.05)


def test_a_title_that_ends_the_script_is_data_and_no_tag(monkeypatch):
    """The page stays one script, whose data have the title letter by letter."""
    title = "two </script><script>window.ran = 1</script><!--"
    monkeypatch.setitem(live.LAWS, "ring", dataclasses.replace(live.LAWS["ring"], title=title))
    page = live.page("playground")
    assert page.lower().count("<script") == page.lower().count("</script") == 1 and "<!--" not in page
    (data,) = re.findall(r"^const LAWS = (.*);$", page, re.MULTILINE)
    assert json.loads(data)["ring"]["title"] == title


@pytest.mark.parametrize("name", live.LAWS)
def test_a_law_is_what_its_line_of_python_makes(name):
    law = live.LAWS[name]
    made = eval(law.python, vars(densities))
    for part in ("weights", "means", "covariances"):
        assert torch.equal(getattr(made, part), getattr(law.density, part))
    numbers = live.laws()[name]
    left, right, bottom, top = numbers["extent"]
    inside = [left < x < right and bottom < y < top for x, y in numbers["means"]]
    assert all(inside)
    full = torch.tensor([[[a, b], [b, c]] for a, b, c in numbers["covariances"]], dtype=torch.float64)
    assert torch.equal(full, law.density.covariances)


@pytest.mark.parametrize("name", live.GRID_LAWS)
def test_a_law_on_a_grid_is_what_its_line_of_python_makes(name):
    law, known = live.GRID_LAWS[name], live.grid_laws()[name]["grid"]
    made = eval(law.python, vars(densities))
    left, right, bottom, top = known["square"]
    logs = np.frombuffer(base64.b64decode(known["logs"]), dtype="<f4").reshape(known["n"], known["n"])
    for row, column in ((0, 0), (20, 70), (48, 47), (95, 3)):
        x = left + (right - left) * column / (known["n"] - 1), bottom + (top - bottom) * row / (known["n"] - 1)
        exact = float(made.log_prob(torch.tensor(x, dtype=torch.float64)))
        assert logs[row, column] == pytest.approx(exact, rel=1e-6)
    draws = made.sample((100_000,), generator=torch.Generator().manual_seed(0)).double()
    error = draws.std(0) / 100_000**0.5
    assert bool((draws.mean(0) - torch.tensor(known["mean"])).abs().le(6 * error).all())
    squares = (draws - torch.tensor(known["mean"])).square().mean(-1)
    assert abs(float(squares.mean()) - known["variance"]) < 6 * float(squares.std()) / 100_000**0.5
    shown = live.grid_laws()[name]["extent"]
    assert left <= shown[0] < shown[1] <= right and bottom <= shown[2] < shown[3] <= top


def test_the_error_of_a_banana_on_a_grid_is_that_of_a_quartic():
    """Its log p has the fourth derivative -12 (bend / width)^2 in x_1, by which splines are off by a known amount."""
    error = live.grid_laws()["banana"]["grid"]["error"]
    narrow = live.GridLaw("", densities.Banana(1.2, 0.2, 0.3), "", (-4, 4, -4, 4), live.GRID_LAWS["banana"].square)
    assert error <= 1e-4 and live.grid_numbers_of(narrow)["grid"]["error"] > error


def test_the_page_about_them_says_their_errors():
    page = (Path(__file__).parents[1] / "docs" / "live.md").read_text()
    errors = [100 * law["grid"]["error"] for law in live.grid_laws().values()]
    assert f"{min(errors):.1g} to {max(errors):.1g} %" in page and f"{live.N_NODES} × {live.N_NODES} nodes" in page


def test_a_law_that_its_square_does_not_hold():
    law = live.GridLaw("a narrow one", densities.Banana(1.2, 0.4, 0.3), "", (-1, 1, -1, 1), (-2.0, 2.0, -2.0, 2.0))
    with pytest.raises(ValueError, match=r"'a narrow one' has 0\.9\d+ of its mass.*Take a square that holds it"):
        live.grid_numbers_of(law)


def test_the_command_writes_the_pages_and_overwrites_none(tmp_path, capsys):
    assert cli.main(["live", str(tmp_path / "pages")]) == 0
    written = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert written == sorted(f"{name}.html" for name in live.INSTRUMENTS)
    assert str(tmp_path / "pages" / "playground.html") in capsys.readouterr().out
    assert cli.main(["live", str(tmp_path / "pages")]) == 2
    assert "exists: give another folder, or --force" in capsys.readouterr().err
    assert cli.main(["live", str(tmp_path / "pages"), "--force"]) == 0
