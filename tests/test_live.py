"""The pages of the live lab as text; what they do is tested in a browser."""

import base64
import dataclasses
import hashlib
import json
import re

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


def test_the_command_writes_the_pages_and_overwrites_none(tmp_path, capsys):
    assert cli.main(["live", str(tmp_path / "pages")]) == 0
    written = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert written == sorted(f"{name}.html" for name in live.INSTRUMENTS)
    assert str(tmp_path / "pages" / "playground.html") in capsys.readouterr().out
    assert cli.main(["live", str(tmp_path / "pages")]) == 2
    assert "exists: give another folder, or --force" in capsys.readouterr().err
    assert cli.main(["live", str(tmp_path / "pages"), "--force"]) == 0
