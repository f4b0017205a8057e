import html.parser
import importlib.util
import json
import shutil
import sys
import urllib.error
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("make_site", ROOT / "docs" / "make_site.py")
make_site = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_site)


class Page(html.parser.HTMLParser):
    """The links, and the pictures with their words, of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.pictures = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "img":
            self.pictures.append((found["src"], found.get("alt")))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    make_site.build(out)
    return out


@pytest.mark.slow
def test_every_link_leads_somewhere_and_every_picture_has_words(site):
    assert make_site.problems(site) == []


@pytest.mark.slow
def test_every_notebook_is_a_page_and_is_linked_to_as_one(site):
    lessons = sorted((ROOT / "notebooks").glob("*.ipynb"))
    index = Page(site / "index.html")
    for path in lessons[1:]:
        assert f"{path.stem}.html" in index.links
        assert "index.html" in Page(site / f"{path.stem}.html").links
    for path in site.rglob("*.html"):
        assert not [link for link in Page(path).links if link.endswith((".ipynb", ".md"))], path
    assert (site / "docs" / "objectives.html").is_file()


@pytest.mark.slow
def test_the_words_of_a_picture_are_those_that_stand_under_it(site):
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))[1:]:
        cells = json.loads(path.read_text())["cells"]
        under = [
            "".join(below["source"]).split("\n")[0]
            for cell, below in zip(cells, cells[1:], strict=False)
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        ]
        words = [alt for src, alt in Page(site / f"{path.stem}.html").pictures if src.startswith("data:")]
        # markdown in the words is gone, and formulas have lost their brackets: letters and figures are left to compare
        assert [letters(text) for text in words] == [letters(text) for text in under]


def letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


GOOD = [
    '<a href="other.html">x</a>',
    '<a href="other.html#there">x</a>',
    '<a href="#here">x</a>',
    '<h2 id="%C2%BD">h</h2><a href="#%C2%BD">x</a>',
    '<h2 id="½">h</h2><a href="#%C2%BD">x</a>',
    '<a href="below/a%20b.txt">x</a>',
    '<a href="https://example.org/a?b#c">x</a>',
    '<a href="mailto:someone@example.org">x</a>',
    '<img src="data:image/png;base64,AAAA" alt="a field of arrows">',
]
BAD = {
    '<a href="none.html">x</a>': "none.html: leads nowhere",
    '<a href="other.html#nowhere">x</a>': "other.html#nowhere: no such anchor",
    '<a href="#there">x</a>': "#there: no such anchor",
    '<a href="below">x</a>': "below: leads nowhere",
    '<a href="../outside.html">x</a>': "../outside.html: leads nowhere",
    '<a href="01_scores.ipynb">x</a>': "01_scores.ipynb: leads nowhere",
    '<a href="http:/example.org">x</a>': "http:/example.org: not well formed",
    '<a href="https://exa mple.org">x</a>': "https://exa mple.org: not well formed",
    '<a href="htps://example.org">x</a>': "htps://example.org: not well formed",
    '<a href="javascript:alert(1)">x</a>': "javascript:alert(1): not well formed",
    '<img src="none.png" alt="words">': "none.png: leads nowhere",
    '<img src="a.png">': "a.png: no alternative text",
    '<img src="a.png" alt=" ">': "a.png: no alternative text",
    f'<img src="a.png" alt="{make_site.NO_DESCRIPTION}">': "a.png: no alternative text",
}


@pytest.fixture
def small(tmp_path):
    (tmp_path / "outside.html").touch()
    out = tmp_path / "site"
    (out / "below").mkdir(parents=True)
    for name in ("a.png", "below/a b.txt"):
        (out / name).touch()
    (out / "other.html").write_text('<h2 id="there">h</h2>')
    return out


@pytest.mark.parametrize("body", GOOD)
def test_a_good_link_passes_without_the_net(body, small, monkeypatch):
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("asked the net")

    monkeypatch.setattr("urllib.request.urlopen", asked)
    (small / "index.html").write_text(f'<h2 id="here">h</h2>{body}')
    assert make_site.problems(small) == []


@pytest.mark.parametrize("body", BAD)
def test_a_bad_one_is_named_with_its_page(body, small):
    (small / "index.html").write_text(body)
    assert make_site.problems(small) == [f"index.html: {BAD[body]}"]


def test_online_the_links_are_asked_for(small, monkeypatch):
    def gone(request, timeout):
        raise urllib.error.HTTPError(request.full_url, 404, "Not Found", {}, None)

    monkeypatch.setattr("urllib.request.urlopen", gone)
    (small / "index.html").write_text('<a href="https://example.org/gone">x</a>')
    (said,) = make_site.problems(small, online=True)
    assert said.startswith("index.html: https://example.org/gone: ") and "404" in said


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two notebooks, whose first leads where it is told to."""
    root = tmp_path / "project"
    (root / "notebooks").mkdir(parents=True)
    (root / "pages").mkdir()
    (root / "README.md").write_text("# It\n\n[files](pages)\n")
    (root / "pages" / "a page.md").write_text("# A page\n\n[back](../notebooks/01_next.ipynb#A-heading)\n")
    shutil.copy(ROOT / "notebooks" / "pictures" / "06_sde.png", root / "pages")

    def lesson(name, *cells):
        nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), root / "notebooks" / name)

    def written(link, *cells):
        lesson("00_start_here.ipynb", nbformat.v4.new_markdown_cell(f"# Start\n\n{link}"), *cells)

    lesson("01_next.ipynb", nbformat.v4.new_markdown_cell("# Next\n\n## A heading\n\ntext"))
    monkeypatch.setattr(make_site, "ROOT", root)
    monkeypatch.chdir(tmp_path)
    return written


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["make_site.py", *arguments])
    return make_site.main()


def test_pages_and_folders_come_along(project, tmp_path, monkeypatch, capsys):
    project("[next](01_next.ipynb), [page](../pages/a%20page.md#A-page), ![a picture](../pages/06_sde.png)")
    assert run(monkeypatch) == 0
    assert "in order" in capsys.readouterr().out
    index = Page(tmp_path / "site" / "index.html")
    assert {"01_next.html", "pages/a%20page.html#A-page"} < {*index.links}
    assert ("pages/06_sde.png", "a picture") in index.pictures
    assert "../01_next.html#A-heading" in Page(tmp_path / "site" / "pages" / "a page.html").links
    assert {"a%20page.html", "06_sde.png"} < {*Page(tmp_path / "site" / "pages" / "index.html").links}


@pytest.mark.parametrize("link", ["[x](02_none.ipynb)", "[x](01_next.ipynb#no-such)", "![](../pages/06_sde.png)"])
def test_a_broken_link_is_a_line_and_a_status(link, project, monkeypatch, capsys):
    project(link)
    assert run(monkeypatch, "--out", "new") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("index.html: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("below", "status"), [("It is grey.", 1), ("*A grey spot.*\n\nIt is grey.", 0), ("A *grey* spot.", 1)]
)
def test_a_drawn_picture_without_words_under_it_is_a_problem(below, status, project, tmp_path, monkeypatch):
    output = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
    project("", nbformat.v4.new_code_cell("draw()", outputs=[output]), nbformat.v4.new_markdown_cell(below))
    assert run(monkeypatch) == status
    ((_, words),) = Page(tmp_path / "site" / "index.html").pictures
    assert words == (make_site.NO_DESCRIPTION if status else "A grey spot.")


def test_a_folder_with_something_in_it_is_left_alone(project, tmp_path, monkeypatch, capsys):
    project("")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.txt").write_text("mine")
    assert run(monkeypatch) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["mine.txt"]
