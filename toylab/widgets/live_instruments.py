"""The instruments of the live lab as widgets: the same code as their pages, in JupyterLab, VS Code and Colab.

They compute in the browser: no kernel is asked while they move.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import anywidget
import traitlets

from toylab import live
from toylab._internal.display import short
from toylab.densities import GaussianMixture

_RENDER = """
export default {{
  render({{ model, el }}) {{
    const keep = (address) => {{ model.set("address", address); model.save_changes(); }};
    const shown = {name}(el, model.get("laws"), model.get("address"), keep, true);
    // or JupyterLab would take keys for its own, a, b, x, d d: it asks the very element that has the focus
    for (const element of el.querySelectorAll("*")) element.setAttribute("data-lm-suppress-shortcuts", "");
    const theme = () => {{
      const light = document.body.dataset.jpThemeLight;
      if (light) el.querySelector(".toylab-live").dataset.theme = light === "true" ? "light" : "dark";
    }};
    const watch = new MutationObserver(theme);
    watch.observe(document.body, {{ attributes: true, attributeFilter: ["data-jp-theme-light"] }});
    theme();
    return () => {{ watch.disconnect(); shown.remove(); }};
  }},
}};
"""


class _Live(anywidget.AnyWidget):
    """An instrument in the browser.

    Attributes:
        laws: the densities to choose from, as ``live.numbers_of`` gives them.
        address: what is set, as in the address of its page; it follows what is done in the browser.
    """

    _css = live.style()
    laws = traitlets.Dict().tag(sync=True)
    address = traitlets.Unicode("").tag(sync=True)


class _Playground(_Live):
    _esm = live.script("playground") + _RENDER.format(name="playground")


class _Trainer(_Live):
    _esm = live.script("trainer") + _RENDER.format(name="trainer")


class _Editor(_Live):
    _esm = live.script("editor") + _RENDER.format(name="editor")


class _Film(_Live):
    _esm = live.script("film") + _RENDER.format(name="film")


Mixtures = Mapping[str, GaussianMixture]
Laws = Mapping[str, GaussianMixture | live.GridLaw]


def live_playground(densities: Laws | None = None, *, address: str = "") -> anywidget.AnyWidget:
    """Two samplers side by side in the browser; see ``langevin_playground`` for samplers of your own.

    Args:
        densities: Gaussian mixtures by name, and other laws as a ``live.GridLaw``; None takes those of ``live.LAWS``,
            and that of ``live.GRID_LAWS`` which the address names: each has 49 kB, so that not all of them come along.
        address: what is set at first, as in the address of the page, such as "#seed=3&a=mala:0.1:1".
    """
    asked = _address(address)
    laws = _laws(densities, _any_numbers)
    if densities is None and (named := _grids_of(asked)):
        laws |= live.grid_laws(*named)
    return _Playground(laws=laws, address=asked)


def live_trainer(densities: Mixtures | None = None, *, address: str = "") -> anywidget.AnyWidget:
    """A network learns a score in the browser, beside the exact one and the exact Fisher divergence.

    Args:
        densities: Gaussian mixtures by name; None takes those of ``live.LAWS``.
        address: what is set at first, as in the address of the page, such as "#objective=sliced&nData=20".
    """
    return _Trainer(laws=_laws(densities), address=_address(address))


def live_film(densities: Mixtures | None = None, *, address: str = "") -> anywidget.AnyWidget:
    """A diffusion in the browser under the exact score, that of a data set, and one that is learned there from it.

    Args:
        densities: Gaussian mixtures by name; None takes those of ``live.LAWS``.
        address: what is set at first, as in the address of the page, such as "#density=ring&way=sde&nData=20".
    """
    return _Film(laws=_laws(densities), address=_address(address))


def live_editor(*, address: str = "") -> anywidget.AnyWidget:
    """Modes that are dragged and stretched, or points that are drawn, with the score of their noised law.

    Args:
        address: what is set at first, as in the address of the page, such as "#modes=1,0,0,2,0.5,30&sigma=0.5".
    """
    return _Editor(laws={}, address=_address(address))


def _grids_of(address: str) -> list[str]:
    """The laws on a grid that an address names."""
    return [name for name in parse_qs(address.removeprefix("#")).get("density", []) if name in live.GRID_LAWS]


def _mixture_numbers(name: str, density: GaussianMixture) -> dict[str, Any]:
    return live.numbers_of(live.law_of(name, density))


def _any_numbers(name: str, density: GaussianMixture | live.GridLaw) -> dict[str, Any]:
    return live.grid_numbers_of(density) if isinstance(density, live.GridLaw) else _mixture_numbers(name, density)


def _laws(
    densities: Mapping[str, Any] | None, numbers: Callable[[str, Any], dict[str, Any]] = _mixture_numbers
) -> dict[str, dict[str, Any]]:
    if densities is None:
        return live.laws()
    if not isinstance(densities, Mapping) or not densities:
        raise TypeError(
            f"densities is {short(densities)}: give Gaussian mixtures by name, such as {{'two modes': two_modes()}}."
        )
    return {str(name): numbers(str(name), density) for name, density in densities.items()}


def _address(address: str) -> str:
    if not isinstance(address, str):
        raise TypeError(f"address is {short(address)}: give text, such as '#seed=3'.")
    return address
