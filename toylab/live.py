"""The live lab: instruments that run in a browser tab, with no kernel, no server and no network.

Each is one HTML file with everything in it. Its modules are those of ``toylab/widgets/live``: plain JavaScript, whose
mathematics the tests hold against this library, to rounding where both compute in float64.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from toylab._internal.folder import write_whole
from toylab.densities import (
    Banana,
    ConcentricCircles,
    Density,
    GaussianMixture,
    TwoMoons,
    grid,
    isotropic,
    ring,
    two_modes,
)
from toylab.metrics import Extent

_IMPORT = re.compile(r'^import [^;]*? from "\./(\w+)\.js";\n', re.MULTILINE | re.DOTALL)
_EXPORT = re.compile(r"^export (?=const|let|function|class)", re.MULTILINE)


@dataclass(frozen=True)
class Law:
    """A mixture as the instruments know it.

    Attributes:
        title: what it is called on the page.
        density: the mixture.
        python: the call that makes it, a function of ``toylab.densities``.
        extent: the square that is shown of it.
    """

    title: str
    density: GaussianMixture
    python: str
    extent: Extent


LAWS = {
    "two_far_modes": Law(
        "two far modes",
        isotropic([[-2.5, -2.5], [2.5, 2.5]], 0.5, [0.2, 0.8]),
        "isotropic([[-2.5, -2.5], [2.5, 2.5]], 0.5, [0.2, 0.8])",
        (-5.0, 5.0, -5.0, 5.0),
    ),
    "two_near_modes": Law(
        "two near modes",
        isotropic([[-1.0, -1.0], [1.0, 1.0]], 0.6, [0.2, 0.8]),
        "isotropic([[-1.0, -1.0], [1.0, 1.0]], 0.6, [0.2, 0.8])",
        (-4.0, 4.0, -4.0, 4.0),
    ),
    "ring": Law("ring of eight", ring(), "ring()", (-6.0, 6.0, -6.0, 6.0)),
    "gaussian": Law(
        "one Gaussian of variance 1",
        isotropic([[0.0, 0.0]], 1.0),
        "isotropic([[0.0, 0.0]], 1.0)",
        (-5.0, 5.0, -5.0, 5.0),
    ),
    "grid": Law("grid of 25", grid(), "grid()", (-6.0, 6.0, -6.0, 6.0)),
    "two_modes": Law("two modes, as in the paper", two_modes(), "two_modes()", (-9.0, 9.0, -9.0, 9.0)),
}


def laws() -> dict[str, dict[str, Any]]:
    """The mixtures of ``LAWS`` as numbers: weights [K], means [K][2], covariances [K] of [xx, xy, yy]."""
    return {name: numbers_of(law) for name, law in LAWS.items()}


def numbers_of(law: Law) -> dict[str, Any]:
    """Its numbers: weights [K], means [K][2], covariances [K] of [xx, xy, yy]; title, line of Python, and extent."""
    p = law.density
    return {
        "title": law.title,
        "python": law.python,
        "weights": p.weights.tolist(),
        "means": p.means.tolist(),
        "covariances": [[c[0][0], c[0][1], c[1][1]] for c in p.covariances.tolist()],
        "extent": list(law.extent),
    }


N_NODES = 96  # per side of a grid
Nodes = npt.NDArray[np.float64] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class GridLaw:
    """A law that is no mixture, as the instruments know it: log p on a grid, and splines between.

    Attributes:
        title: what it is called on the page.
        density: the law.
        python: the expression that makes it, of ``toylab.densities``.
        extent: the square that is shown of it.
        square: the square of the grid; what lies beyond is left out of the noised laws, so that it should be next to
            nothing.
    """

    title: str
    density: Density
    python: str
    extent: Extent
    square: Extent


_MOONS = TwoMoons().scaled(2.0).shifted((-1.0, -0.5)).noised(0.3)
GRID_LAWS = {
    "banana": GridLaw(
        "banana",
        Banana(scale=1.2, width=0.4, bend=0.3),
        "Banana(scale=1.2, width=0.4, bend=0.3)",
        (-4.0, 4.0, -2.5, 5.5),
        (-7.5, 7.5, -3.5, 11.5),
    ),
    "two_moons": GridLaw(
        "two moons",
        _MOONS,
        "TwoMoons().scaled(2.0).shifted((-1.0, -0.5)).noised(0.3)",
        (-5.0, 5.0, -5.0, 5.0),
        (-6.0, 6.0, -6.0, 6.0),
    ),
    "three_circles": GridLaw(
        "three circles",
        ConcentricCircles([1.0, 2.5, 4.0]).noised(0.3),
        "ConcentricCircles([1.0, 2.5, 4.0]).noised(0.3)",
        (-6.0, 6.0, -6.0, 6.0),
        (-6.0, 6.0, -6.0, 6.0),
    ),
}


def grid_laws(*names: str) -> dict[str, dict[str, Any]]:
    """Laws of ``GRID_LAWS`` as numbers, 49 kB each: those named, else all; computed at the first call."""
    return {name: _known_grid(name) for name in names or GRID_LAWS}


@cache
def _known_grid(name: str) -> dict[str, Any]:
    return grid_numbers_of(GRID_LAWS[name])


def grid_numbers_of(law: GridLaw) -> dict[str, Any]:
    """Its numbers: log p at 96 x 96 nodes (float32, little-endian, rows from the bottom, in base64), and others.

    ``error`` is twice how far the gradient of the splines is from the score, |grad - s| / |s| in the root mean square
    over 4,000 draws, rounded up to one digit: noise by less than a cell adds up to as much. ``variance`` is the mean
    over both axes.

    Raises:
        ValueError: if more than 1e-4 of the law lies outside its square, or the nodes are too far apart for it.
    """
    p, (left, right, bottom, top) = law.density, law.square
    x, y = np.linspace(left, right, N_NODES), np.linspace(bottom, top, N_NODES)
    nodes = torch.tensor(np.stack(np.meshgrid(x, y), -1), device="cpu")
    logs = p.log_prob(nodes).numpy().astype("<f4")
    mass = np.exp(logs.astype(float)) * (x[1] - x[0]) * (y[1] - y[0])
    if abs(mass.sum() - 1) > 1e-4:
        raise ValueError(
            f"{law.title!r} has {mass.sum():.5f} of its mass on the {N_NODES} x {N_NODES} nodes of {law.square}: it "
            "must be 1 to four digits. Take a square that holds it, or noise it more."
        )
    mean = [float((mass * part).sum()) for part in nodes.numpy().transpose(2, 0, 1)]
    variance = float(0.5 * (mass * ((nodes.numpy() - mean) ** 2).sum(-1)).sum())
    return {
        "title": law.title,
        "python": law.python,
        "extent": list(law.extent),
        "grid": {
            "n": N_NODES,
            "square": list(law.square),
            "logs": base64.b64encode(logs.tobytes()).decode(),
            "mean": mean,
            "variance": variance,
            "error": _error(law, x, y, logs),
        },
    }


def _error(law: GridLaw, x: Nodes, y: Nodes, logs: Nodes) -> float:
    from scipy.interpolate import RectBivariateSpline  # not loaded by a notebook that shows no instrument

    draws = law.density.sample((4000,), generator=torch.Generator("cpu").manual_seed(0)).double()
    spline, (u, v), s = RectBivariateSpline(y, x, logs.astype(float)), draws.numpy().T, law.density.score(draws).numpy()
    found = np.stack([spline(v, u, dy=1, grid=False), spline(v, u, dx=1, grid=False)], -1)
    error = 2 * float(np.sqrt(((found - s) ** 2).sum() / (s**2).sum()))
    digit = 10.0 ** np.floor(np.log10(error))
    return float(np.ceil(error / digit) * digit)


@dataclass(frozen=True)
class Instrument:
    """An instrument.

    Attributes:
        module: the module with its function of the same name.
        title: what its page is called.
        laws: gives the numbers of those that it knows, by name.
    """

    module: str
    title: str
    laws: Callable[[], dict[str, dict[str, Any]]]


def _all_laws() -> dict[str, dict[str, Any]]:
    return {**laws(), **grid_laws()}


INSTRUMENTS = {
    "playground": Instrument("playground", "Two samplers side by side", _all_laws),
    "trainer": Instrument("trainer", "A network learns a score", laws),
    "editor": Instrument("editor", "A density and its score, by hand", dict),
    "film": Instrument("film", "A diffusion under three scores", laws),
}


def script(*modules: str) -> str:
    """The modules and all that they import, as one script: each once, after those that it needs.

    Args:
        modules: by name, such as ``playground``.

    Raises:
        ValueError: if there is no such module.
    """
    folder = files("toylab") / "widgets" / "live"
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        path = folder / f"{name}.js"
        if not path.is_file():
            raise ValueError(
                f"there is no module {name!r}: give one of those in toylab/widgets/live, such as 'mixture'."
            )
        text = path.read_text(encoding="utf-8")
        for needed in _IMPORT.findall(text):
            add(needed)
        parts[name] = _EXPORT.sub("", _IMPORT.sub("", text))

    for name in modules:
        add(name)
    return "\n".join(parts.values())


def style() -> str:
    """The style sheet of all instruments."""
    return (files("toylab") / "widgets" / "live" / "live.css").read_text(encoding="utf-8")


def law_of(title: str, density: GaussianMixture) -> Law:
    """A mixture of one's own as the instruments know it: its line of Python from its numbers, shown 4 deviations far.

    Raises:
        TypeError: if it is not a Gaussian mixture.
    """
    if not isinstance(density, GaussianMixture):
        raise TypeError(
            f"{title!r} is a {type(density).__name__}: the instruments compute in the browser, which knows Gaussian "
            "mixtures alone. Give a GaussianMixture, to the playground also a live.GridLaw, or use the widgets that "
            "ask the kernel."
        )
    w, m, C = density.weights.tolist(), density.means.tolist(), density.covariances.tolist()
    reach = 4 * density.covariances.diagonal(dim1=-2, dim2=-1).sqrt()
    left, bottom = (density.means - reach).amin(0).tolist()
    right, top = (density.means + reach).amax(0).tolist()
    half = max(right - left, top - bottom) / 2
    x, y = (left + right) / 2, (bottom + top) / 2
    return Law(title, density, f"GaussianMixture({w}, {m}, {C})", (x - half, x + half, y - half, y + half))


def page(name: str) -> str:
    """The page of an instrument, one HTML document with no address in it but its own.

    A policy in its head lets it run this one script and load nothing: neither an address nor a file that is opened in
    it can bring code along.

    Args:
        name: one of ``INSTRUMENTS``.

    Raises:
        ValueError: if there is no such instrument.
    """
    if name not in INSTRUMENTS:
        raise ValueError(f"there is no instrument {name!r}: give one of {', '.join(INSTRUMENTS)}.")
    shown = INSTRUMENTS[name]
    data = json.dumps(shown.laws()).replace("<", "\\u003c")
    code = f"{script(shown.module)}\n{_START.format(name=shown.module, laws=data)}"
    css = f"{style()}\n{_PAGE_STYLE}"
    return _PAGE.format(title=html.escape(shown.title), code=code, css=css, code_hash=_hash(code), css_hash=_hash(css))


def write(out: Path, *, force: bool = False) -> list[Path]:
    """Write a page for each instrument into a folder; each opens from there, without a network.

    Returns the files that were written.

    Raises:
        ValueError: a file exists already and ``force`` is not given.
        OSError: ``out`` cannot be written to.
    """
    pages = {f"{name}.html": page(name).encode() for name in INSTRUMENTS}
    there = [out / name for name in pages if (out / name).exists()]
    if there and not force:
        raise ValueError(f"{there[0]} exists: give another folder, or --force to write over it.")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out, pages)
    return [out / name for name in pages]


def _hash(text: str) -> str:
    """A source of a content security policy: only a text with this hash is let in."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_START = """
const LAWS = {laws};
let theme = ""; // the system's, unless a page around it has another
const wear = () => {{
  if (!theme) return;
  const instrument = document.querySelector(".toylab-live");
  for (const element of [document.documentElement, instrument]) element.dataset.theme = theme;
}};
const keep = (address) => history.replaceState(null, "", address);
const open = (address) => {{
  const made = {name}(document.querySelector("main"), LAWS, address, keep);
  wear();
  return made;
}};
let shown = open(location.hash);
window.addEventListener("message", ({{ data, source }}) => {{
  if (source !== window.parent || (data !== "light" && data !== "dark")) return;
  theme = data;
  wear();
}});
window.addEventListener("hashchange", (event) => {{
  shown.remove(); // which keeps its last state, in the place of the address that was asked for
  const {{ hash }} = new URL(event.newURL);
  keep(hash);
  shown = open(hash);
}});
window.toylab = () => shown;
"""
_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; background: #ffffff; }
@media (prefers-color-scheme: dark) { body { background: #16181b; } }
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] { color-scheme: dark; }
:root[data-theme="light"] body { background: #ffffff; }
:root[data-theme="dark"] body { background: #16181b; }
h1 { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src {code_hash}; style-src {css_hash}; img-src data: blob:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – toylab</title>
<style>{css}</style>
</head>
<body>
<h1>{title}</h1>
<main></main>
<script type="module">{code}</script>
</body>
</html>
"""  # noqa: E501
