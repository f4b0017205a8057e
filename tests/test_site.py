"""The pieces of the documentation site. The whole of it is built, warnings as errors, by ``make site``."""

import importlib
import io
import pkgutil
import re
import sys
import warnings
from pathlib import Path

import nbformat
import pytest

import toylab
from toylab.experiments import EXPERIMENTS

ROOT = Path(__file__).parents[1]

pytest.importorskip("myst_nb", reason="pip install -e '.[docs]'")
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
check, command, formulas, lessons, offline, reference = (
    importlib.import_module(name) for name in ("check", "command", "formulas", "lessons", "offline", "reference")
)
sys.path.pop(0)


# Formulas of docstrings

INLINE = {
    "A step x' = x + eps/2 s(x) + sqrt(T eps) z of it.": "A step ``x' = x + eps/2 s(x) + sqrt(T eps) z`` of it.",
    "1/2 |s(x~) - grad log q(x~ | x)|^2 with x~ = x + sigma z": (
        "``1/2 |s(x~) - grad log q(x~ | x)|^2`` with ``x~ = x + sigma z``"
    ),
    "X_2 = bend (X_1^2 - scale^2) + width Z: bent": "``X_2 = bend (X_1^2 - scale^2) + width Z``: bent",
    "the mean E[x_0 | x_t = x] (Tweedie's formula).": "the mean ``E[x_0 | x_t = x]`` (Tweedie's formula).",
    "eps = 4 (snr E|z| / |s_t|)^2, in the plane": "``eps = 4 (snr E|z| / |s_t|)^2``, in the plane",
    "keep it with probability min(1, p(y) / p(x)).": "keep it with probability ``min(1, p(y) / p(x))``.",
    "1/2 E|grad log p|^2, by quadrature": "``1/2 E|grad log p|^2``, by quadrature",
    "For sigma_1 > ... > sigma_L: a ladder": "For ``sigma_1 > ... > sigma_L``: a ladder",
    "a sum (where sigma = 0) of two": "a sum (where ``sigma = 0``) of two",
    "a formula\nthat goes on: y = x +\nsqrt(eps) z": "a formula\nthat goes on: ``y = x +\nsqrt(eps) z``",
    # what is no formula stays as it is
    "Langevin dynamics, either way: a gradient/ascent on log p.": (
        "Langevin dynamics, either way: a gradient/ascent on log p."
    ),
    "Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 4.": "Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 4.",
    "``p.score`` is *not* ``a | b``": "``p.score`` is *not* ``a | b``",
    "a stray *star or bar| is no markup": "a stray \\*star or bar\\| is no markup",
}


@pytest.mark.parametrize("text", INLINE)
def test_a_formula_in_a_sentence_is_a_literal(text):
    assert formulas.inline(text) == INLINE[text]


def test_the_parts_of_a_docstring_are_told_apart():
    lines = """A law.

With r = |x|:

    log p = -r^2 / 2
    score = -x

and so on.

Args:
    n_steps: how many, n > 0; and
        s* = 0.
    x: points.

>>> a * b | c
3""".splitlines()
    expected = """A law.

With ``r = |x|``:

::

    log p = -r^2 / 2
    score = -x

and so on.

Args:
    n_steps: how many, ``n > 0``; and
        ``s* = 0``.
    x: points.

>>> a * b | c
3""".splitlines()
    assert formulas.set_formulas(lines) == expected


def test_every_docstring_of_the_reference_is_sound_markup():
    """No star or bar of a formula is read as markup, in any docstring that the reference shows."""
    for room in reference.ROOMS:
        module = importlib.import_module(f"toylab.{room}")
        for name in reference.public_names(module):
            lines = (getattr(module, name).__doc__ or "").splitlines()
            if getattr(module, name).__doc__ is type(getattr(module, name)).__doc__:
                continue
            for paragraph in re.split(r"\n\s*\n", "\n".join(formulas.set_formulas(lines))):
                if ">>>" not in paragraph and not paragraph.startswith("    "):
                    assert paragraph.count("``") % 2 == 0, (name, paragraph)


# The reference

ELSEWHERE = {"cli", "classroom"}  # described on pages of their own: command, classroom


def test_every_package_has_a_page_and_every_public_name_is_on_it():
    rooms = {m.name for m in pkgutil.iter_modules(toylab.__path__) if not m.name.startswith("_")} - ELSEWHERE
    assert rooms == {*reference.ROOMS}
    index = (ROOT / "docs" / "reference" / "index.md").read_text()
    for room in rooms:
        assert re.search(rf"^{room}$", index, flags=re.MULTILINE)
        source = (ROOT / "docs" / "reference" / f"{room}.rst").read_text()
        (package,) = re.findall(r"^\.\. public:: (\S+)$", source, flags=re.MULTILINE)
        also = re.findall(r"^   :also: (.+)$", source, flags=re.MULTILINE)
        page = "\n".join(reference.page(package, also[0].split() if also else []))
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", None) or reference.public_names(module):
            entry = rf"^\.\. (autoclass|autofunction|py:data|py:module):: ({package}\.)?{name}$"
            assert len(re.findall(entry, page, flags=re.MULTILINE)) == 1, f"{package}.{name}"


def test_what_is_public_is_what_a_file_names(tmp_path, monkeypatch):
    (tmp_path / "room_a.py").write_text("from math import pi\nX = 1\n_Y = 2\nZ: int = 3\ndef f(): ...\nclass _C: ...\n")
    (tmp_path / "room_b.py").write_text("__all__ = ['b', 'A']\nA, b, c = 1, 2, 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert reference.public_names(importlib.import_module("room_a")) == ["f", "X", "Z"]
    assert reference.public_names(importlib.import_module("room_b")) == ["A", "b"]


def test_a_density_s_page_has_what_its_parameters_give_it():
    directive = "\n".join(reference.entry("toylab.densities", "Density", "toylab.densities.density"))
    assert ":inherited-members: ABC" in directive
    assert {"to", "dtype", "device"} <= {name for base in toylab.densities.Density.__mro__[:2] for name in vars(base)}


def test_the_page_of_the_command_shows_what_it_prints():
    assert command.output_of("--help").startswith("usage: toylab ")
    assert command.output_of("figures", "--help").startswith("usage: toylab figures ")
    listed = command.output_of("figures", "--list")
    assert all(f"{name} " in listed and experiment.summary in listed for name, experiment in EXPERIMENTS.items())


# Lessons

PICTURE = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})
WIDGET = nbformat.v4.new_output("display_data", {lessons.WIDGET: {"model_id": "1"}, "text/plain": "Playground()"})


@pytest.fixture(scope="module")
def small_site(tmp_path_factory):
    """A site of one lesson with what may go wrong, built; its folder, its page and its warnings."""
    from sphinx.application import Sphinx

    new_code, new_text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [
        new_text("# A lesson\n\n$a^2$ and [a page](page.md#below)"),
        new_code("draw()", outputs=[PICTURE], metadata={"alt": 'A "grey" spot.'}),
        new_text("*The spot is as wide as $\\sigma$.*\n\nIt is grey."),
        new_code("draw_again()", outputs=[PICTURE]),
        new_text("*Nobody has said what it shows.*"),
        new_code("play()", outputs=[WIDGET], metadata={"no_live": "It asks the kernel for trees."}),
        new_code("learn()", outputs=[WIDGET], metadata={"live": "trainer#seed=3&rate=0.1"}),
        new_text("[nowhere](none.md)"),
    ]
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    nbformat.write(nbformat.v4.new_notebook(cells=cells), source / "index.ipynb")
    (source / "page.md").write_text("---\norphan: true\n---\n\n# A page\n\n## Below\n\n<img src='none.png'>\n")
    settings = {
        "extensions": ["myst_nb", "sphinx.ext.mathjax", "lessons", "instruments", "offline", "check"],
        "nb_custom_formats": {".ipynb": "lessons.read"},
        "nb_execution_mode": "off",
        "myst_enable_extensions": ["dollarmath"],
        "myst_heading_anchors": 2,
    }
    said = io.StringIO()
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MyST's, about Sphinx
        Sphinx(source, None, site, site / ".doctrees", "html", settings, status=None, warning=said).build()
    sys.path.pop(0)
    return site, (site / "index.html").read_text(), re.sub(r"\x1b\[[\d;]*m", "", said.getvalue())


def test_a_picture_gets_the_words_of_its_cell(small_site):
    _, page, said = small_site
    assert page.count("<img") == 2
    assert 'alt="A &quot;grey&quot; spot."' in page
    assert "<em>The spot is as wide as" in page
    assert said.count("picture without alternative text") == 1


def test_a_widget_is_words(small_site):
    assert small_site[1].count("the notebook has a picture to play with") == 1
    assert "It asks the kernel for trees." in small_site[1]
    assert "Playground()" not in small_site[1]


def test_a_widget_with_a_live_twin_is_the_twin_where_the_widget_would_be(small_site):
    site, page, _ = small_site
    (before, frame, after) = re.split(r"(<iframe[^>]*></iframe>)", page)
    assert 'src="live/trainer.html#seed=3&amp;rate=0.1"' in frame and 'title="A network learns a score"' in frame
    assert "learn" in before and "nowhere" not in before and "nowhere" in after
    assert (site / "live" / "trainer.html").is_file()


def test_formulas_are_drawn_without_the_net(small_site):
    site, page, _ = small_site
    assert (site / "_static" / offline.SCRIPT).stat().st_size > 1e6
    assert f"_static/{offline.SCRIPT}" in page
    assert "cdn" not in page and "needs the net" not in small_site[2]


def test_what_is_broken_is_a_warning(small_site):
    said = small_site[2]
    assert "none.md" in said
    assert "page.html: none.png: leads nowhere" in said
    assert "page.html: none.png: no alternative text" in said
    assert "page.html#below" not in said


def test_the_lessons_are_in_reading_order():
    index = (ROOT / "docs" / "index.md").read_text()
    listed = re.findall(r"^\.\./notebooks/(\w+)$", index, flags=re.MULTILINE)
    assert listed == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


# Links and pictures of pages as they are written

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
    '<script src="below/a%20b.txt?v=1"></script>',
]
BAD = {
    '<a href="none.html">x</a>': "none.html: leads nowhere",
    '<a href="other.html#nowhere">x</a>': "other.html#nowhere: no such anchor",
    '<a href="#there">x</a>': "#there: no such anchor",
    '<a href="below">x</a>': "below: leads nowhere",
    '<a href="../outside.html">x</a>': "../outside.html: leads nowhere",
    '<a href="http:/example.org">x</a>': "http:/example.org: not well formed",
    '<a href="https://exa mple.org">x</a>': "https://exa mple.org: not well formed",
    '<a href="javascript:alert(1)">x</a>': "javascript:alert(1): not well formed",
    '<img src="none.png" alt="words">': "none.png: leads nowhere",
    '<img src="a.png">': "a.png: no alternative text",
    '<img src="a.png" alt=" ">': "a.png: no alternative text",
    '<script src="https://cdn.example.org/x.js"></script>': "https://cdn.example.org/x.js: needs the net",
    '<script src="none.js"></script>': "none.js: leads nowhere",
}


@pytest.fixture
def written(tmp_path):
    """A site of hand-written pages, but for its first."""
    (tmp_path / "outside.html").touch()
    site = tmp_path / "site"
    (site / "below").mkdir(parents=True)
    for name in ("a.png", "below/a b.txt"):
        (site / name).touch()
    (site / "other.html").write_text('<h2 id="there">h</h2>')
    return site


@pytest.mark.parametrize("body", GOOD)
def test_a_good_link_passes(body, written):
    (written / "index.html").write_text(f'<h2 id="here">h</h2>{body}')
    assert check.problems(written) == []


@pytest.mark.parametrize("body", BAD)
def test_a_bad_one_is_named_with_its_page(body, written):
    (written / "index.html").write_text(body)
    assert check.problems(written) == [f"index.html: {BAD[body]}"]


def test_the_pages_of_the_site_load_nothing_from_elsewhere():
    """Their policy names no host; that of the instruments, which read addresses and pictures, is narrower."""
    page = (Path(__file__).parents[1] / "docs" / "_templates" / "page.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'self' file: data:") and "object-src 'none'" in policy
    assert "http" not in policy and "*" not in policy and "eval" not in policy
